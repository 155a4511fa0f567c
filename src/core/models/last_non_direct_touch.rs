//! Last non-direct touch: the last contact that marketing made. A visit that came of its own (`direct`, in any case)
//! earns nothing unless there is nothing else.

use crate::core::Touchpoint;

pub(super) fn weigh(path: &[Touchpoint<'_>], weights: &mut Vec<u64>) {
    let direct = |t: &Touchpoint<'_>| t.channel.is_some_and(|channel| channel.eq_ignore_ascii_case("direct"));
    let last = path.iter().rposition(|t| !direct(t)).unwrap_or(path.len().saturating_sub(1));
    super::all_to(last, path.len(), weights);
}
