//! What the terminal shows: a pure function from figures to text, and the one that puts text on a terminal.

use std::io::{self, Write};

/// The figures of one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Seconds since the start.
    pub seconds: u64,
    /// Events read a second, lately.
    pub events_per_second: f64,
    /// Rows written a second, lately.
    pub rows_per_second: f64,
    /// Events read.
    pub events: u64,
    /// Rows written.
    pub rows: u64,
    /// Conversions taken in.
    pub conversions: u64,
    /// Retractions and restatements taken in.
    pub adjustments: u64,
    /// Events that came after others that happened later, where that changed a conversion already answered.
    pub late: u64,
    /// Events that were there already.
    pub duplicates: u64,
    /// Records set aside.
    pub dead_letters: u64,
    /// From an event's arrival to its rows, in milliseconds: half are faster.
    pub p50_ms: f64,
    /// And 99 in 100.
    pub p99_ms: f64,
    /// Credited conversions by channel.
    pub channels: Channels,
}

/// Channels with their credit in micros of a conversion, under the first and the second model.
pub type Channels = Vec<(String, i64, i64)>;

/// What stands still while the figures move.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The two models.
    pub models: (String, String),
    /// Where the sidecar answers: `http://127.0.0.1:8686`.
    pub sidecar: String,
    /// A command that works when pasted.
    pub curl: String,
    /// Where the state is kept.
    pub data_dir: String,
}

const WIDEST: usize = 100;
const NAME: usize = 16;

/// The whole picture, each line cut to `width` columns, without the last line's end. The `curl` line alone is left
/// whole, for it is there to be copied.
pub fn draw(frame: &Frame, figures: &Figures, width: usize) -> Vec<String> {
    let width = width.min(WIDEST);
    let mut lines = vec![
        format!("Tributary demo   {}   Ctrl-C stops; started again, it goes on from here", clock(figures.seconds)),
        String::new(),
        format!(
            "events    {:>9}/s  {:>13} in all      rows  {:>9}/s  {:>13} in all",
            thousands(round(figures.events_per_second)),
            thousands(figures.events),
            thousands(round(figures.rows_per_second)),
            thousands(figures.rows),
        ),
        format!(
            "of these  {} conversions, {} adjusted, {} late, {} twice, {} set aside",
            thousands(figures.conversions),
            thousands(figures.adjustments),
            thousands(figures.late),
            thousands(figures.duplicates),
            thousands(figures.dead_letters),
        ),
        format!("event to row: p50 {:.1} ms, p99 {:.1} ms", figures.p50_ms, figures.p99_ms),
        String::new(),
    ];
    lines.extend(channels(frame, figures, width));
    lines.push(String::new());
    lines.push(format!("sidecar   {}   (/metrics, /readyz)      data  {}", frame.sidecar, frame.data_dir));
    lines.push("ask it yourself:".into());
    lines.iter_mut().for_each(|line| cut(line, width));
    lines.push(format!("  {}", frame.curl));
    lines
}

/// Credit by channel, a bar for each model, side by side.
fn channels(frame: &Frame, figures: &Figures, width: usize) -> Vec<String> {
    let column = width.saturating_sub(NAME) / 2;
    let bar = column.saturating_sub(18);
    let (left, right) = &frame.models;
    let mut lines = vec![format!("{:<NAME$}{left:<column$}{right}", "credit by")];
    let totals = figures.channels.iter().fold((0, 0), |(a, b), (_, x, y)| (a + x, b + y));
    let most = figures.channels.iter().map(|(_, x, y)| *x.max(y)).max().unwrap_or(0);
    for (name, left, right) in &figures.channels {
        let left = cell(*left, totals.0, most, bar);
        let right = cell(*right, totals.1, most, bar);
        lines.push(format!("{name:<NAME$}{left:<column$}{right}"));
    }
    if figures.channels.is_empty() {
        lines.push("no conversion yet".into());
    }
    lines
}

fn cell(credit: i64, total: i64, most: i64, bar: usize) -> String {
    let part = |of: i64| if of > 0 { credit as f64 / of as f64 } else { 0.0 };
    let filled = (part(most) * bar as f64).round() as usize;
    let whole = u64::try_from(credit / 1_000_000).unwrap_or(0);
    format!(
        "{}{} {:>8} {:>5.1}%",
        "█".repeat(filled.min(bar)),
        " ".repeat(bar - filled.min(bar)),
        thousands(whole),
        100.0 * part(total)
    )
}

/// One line for a place without a terminal.
pub fn line(figures: &Figures) -> String {
    format!(
        "{} events={} ({}/s) rows={} ({}/s) conversions={} adjusted={} late={} twice={} set-aside={} p50={:.1}ms p99={:.1}ms",
        clock(figures.seconds),
        figures.events,
        round(figures.events_per_second),
        figures.rows,
        round(figures.rows_per_second),
        figures.conversions,
        figures.adjustments,
        figures.late,
        figures.duplicates,
        figures.dead_letters,
        figures.p50_ms,
        figures.p99_ms,
    )
}

/// A terminal that is drawn over in place, on the alternate screen; what was there before comes back in the end.
pub struct Terminal<W: Write> {
    out: W,
}

impl<W: Write> Terminal<W> {
    /// Takes the terminal over.
    pub fn enter(mut out: W) -> io::Result<Self> {
        out.write_all(b"\x1b[?1049h\x1b[?25l\x1b[2J")?;
        out.flush()?;
        Ok(Self { out })
    }

    /// Draws `lines` over what stands there, in one write: nothing flickers.
    pub fn show(&mut self, lines: &[String]) -> io::Result<()> {
        let mut text = String::from("\x1b[H");
        for line in lines {
            text.push_str(line);
            text.push_str("\x1b[K\r\n");
        }
        text.push_str("\x1b[J");
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

impl<W: Write> Drop for Terminal<W> {
    fn drop(&mut self) {
        let _left = self.out.write_all(b"\x1b[?25h\x1b[?1049l").and_then(|()| self.out.flush());
    }
}

/// 1234567 as `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn round(rate: f64) -> u64 {
    rate.round().max(0.0) as u64
}

fn clock(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

fn cut(line: &mut String, width: usize) {
    if let Some((end, _)) = line.char_indices().nth(width) {
        line.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Frame {
        Frame {
            models: ("last_touch".into(), "linear".into()),
            sidecar: "http://127.0.0.1:8686".into(),
            curl: format!("curl -H 'Authorization: Bearer {}' http://127.0.0.1:8686/v1", "x".repeat(60)),
            data_dir: "data/demo".into(),
        }
    }

    fn figures() -> Figures {
        Figures {
            events: 1_234_567,
            events_per_second: 1_999.6,
            channels: vec![("email".into(), 3_000_000, 1_000_000), ("direct".into(), 1_000_000, 3_000_000)],
            ..Figures::default()
        }
    }

    #[test]
    fn numbers_have_thousands_separators() {
        let all: Vec<_> = [0, 999, 1_000, 12_345, 1_234_567].into_iter().map(thousands).collect();
        assert_eq!(all, ["0", "999", "1,000", "12,345", "1,234,567"]);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_but_the_one_to_copy() {
        for width in [20, 40, 80, 200] {
            let lines = draw(&frame(), &figures(), width);
            let (last, others) = lines.split_last().unwrap();
            for line in others {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
            assert!(last.ends_with(&frame().curl));
        }
    }

    #[test]
    fn the_picture_holds_the_figures() {
        let text = draw(&frame(), &figures(), 100).join("\n");
        for part in
            ["1,234,567", "2,000/s", "75.0%", "25.0%", "last_touch", "linear", "http://127.0.0.1:8686", "data/demo"]
        {
            assert!(text.contains(part), "{part} not in\n{text}");
        }
        let email = text.lines().find(|l| l.starts_with("email")).unwrap();
        let bars: Vec<_> = email.split(' ').filter(|w| w.contains('█')).map(|w| w.chars().count()).collect();
        assert_eq!(bars.len(), 2);
        assert!(bars[0] == 24 && bars[1] == 8, "{bars:?}");
    }

    #[test]
    fn the_terminal_is_given_back() {
        let mut written = Vec::new();
        let mut terminal = Terminal::enter(&mut written).unwrap();
        terminal.show(&["one".into(), "two".into()]).unwrap();
        drop(terminal);
        let text = String::from_utf8(written).unwrap();
        assert!(text.contains("one\x1b[K\r\ntwo") && text.ends_with("\x1b[?1049l"), "{text:?}");
    }
}
