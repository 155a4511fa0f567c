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
    /// Events in the log since it was made.
    pub events: u64,
    /// Rows written since the log was made.
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
/// The widest name of a channel, and a space.
const NAME: usize = 16;
/// A number, its share, and what stands between.
const NUMBER: usize = 19;
/// Below this there is room for one model only.
const TWO_MODELS: usize = NAME + 2 * (NUMBER + GAP);
/// Between one model and the next.
const GAP: usize = 2;

/// The whole picture for a terminal of so many columns and rows: no line is wider, and there are no more of them. The
/// `curl` line alone is wider, for it is there to be copied: it wraps, and stands above all that grows, so that its rows
/// stay the same.
pub fn draw(frame: &Frame, figures: &Figures, (width, height): (usize, usize)) -> Vec<String> {
    let wide = width.min(WIDEST);
    let mut lines = vec![
        format!("Tributary demo   {}   Ctrl-C stops; started again, it goes on from here", clock(figures.seconds)),
        String::new(),
        flow("events", figures.events_per_second, figures.events),
        flow("rows", figures.rows_per_second, figures.rows),
        format!("latency  p50 {:.1} ms, p99 {:.1} ms from an event to its rows", figures.p50_ms, figures.p99_ms),
        format!(
            "this run {} conversions, {} adjusted, {} late, {} twice, {} set aside",
            thousands(figures.conversions),
            thousands(figures.adjustments),
            thousands(figures.late),
            thousands(figures.duplicates),
            thousands(figures.dead_letters),
        ),
        String::new(),
        format!("sidecar  {}   data  {}   ask it yourself:", frame.sidecar, frame.data_dir),
    ];
    let curl = lines.len();
    lines.push(String::new());
    lines.push(String::new());
    lines.extend(channels(frame, figures, wide));
    lines.iter_mut().for_each(|line| cut(line, wide));
    if let Some(line) = lines.get_mut(curl) {
        line.clone_from(&frame.curl);
    }
    fit(lines, width.max(1), height)
}

/// As many of the lines as there are rows for, wrapped ones counted with every row they take.
fn fit(mut lines: Vec<String>, width: usize, height: usize) -> Vec<String> {
    let mut rows = 0;
    let fits = lines.iter().take_while(|line| {
        rows += line.chars().count().div_ceil(width).max(1);
        rows <= height
    });
    let count = fits.count();
    lines.truncate(count);
    lines
}

fn flow(name: &str, per_second: f64, all: u64) -> String {
    format!("{name:<8} {:>7}/s {:>13} in all", thousands(round(per_second)), thousands(all))
}

/// Credit by channel, a bar for each model, side by side where there is room.
fn channels(frame: &Frame, figures: &Figures, width: usize) -> Vec<String> {
    let both = width >= TWO_MODELS;
    let column = width.saturating_sub(NAME) / if both { 2 } else { 1 };
    let bar = column.saturating_sub(NUMBER + GAP);
    let row = |name: &str, left: &str, right: &str| {
        if both { format!("{name:<NAME$}{left:<column$}{right}") } else { format!("{name:<NAME$}{left}") }
    };
    let mut lines = vec![row("credit by", &frame.models.0, &frame.models.1)];
    let totals = figures.channels.iter().fold((0, 0), |(a, b), (_, x, y)| (a + x, b + y));
    let most = figures.channels.iter().map(|(_, x, y)| *x.max(y)).max().unwrap_or(0);
    for (name, left, right) in &figures.channels {
        lines.push(row(name, &cell(*left, totals.0, most, bar), &cell(*right, totals.1, most, bar)));
    }
    if figures.channels.is_empty() {
        lines.push("no conversion yet".into());
    }
    lines
}

fn cell(credit: i64, total: i64, most: i64, bar: usize) -> String {
    let part = |of: i64| if of > 0 { credit as f64 / of as f64 } else { 0.0 };
    let filled = (part(most) * bar as f64).round() as usize;
    let tenths = u64::try_from(credit).unwrap_or(0).saturating_add(50_000) / 100_000;
    format!(
        "{}{} {:>9}.{} {:>5.1}%",
        "█".repeat(filled.min(bar)),
        " ".repeat(bar - filled.min(bar)),
        thousands(tenths / 10),
        tenths % 10,
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
    size: (usize, usize),
}

impl<W: Write> Terminal<W> {
    /// Takes the terminal over.
    pub fn enter(mut out: W) -> io::Result<Self> {
        out.write_all(b"\x1b[?1049h\x1b[?25l\x1b[2J")?;
        out.flush()?;
        Ok(Self { out, size: (0, 0) })
    }

    /// Draws `lines` over what stands there, in one write: nothing flickers. Rows are cleared before they are written: a
    /// line that ends in the last column would lose its end to what clears behind it.
    pub fn show(&mut self, lines: &[String], size: (usize, usize)) -> io::Result<()> {
        let mut text = String::from(if self.size == size { "\x1b[H" } else { "\x1b[2J\x1b[H" });
        self.size = size;
        for (number, line) in lines.iter().enumerate() {
            // No new line behind the last one: in the last row it would scroll.
            text.push_str(if number == 0 { "" } else { "\r\n" });
            text.push_str(if number + 1 == lines.len() { "\x1b[J" } else { "\x1b[K" });
            text.push_str(line);
        }
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

/// Cuts a line, and shows that it was: half a number is a wrong one.
fn cut(line: &mut String, width: usize) {
    if line.chars().count() > width {
        let keep = width.saturating_sub(1);
        line.truncate(line.char_indices().nth(keep).map_or(0, |(end, _)| end));
        line.push('…');
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
    fn nothing_is_wider_or_higher_than_the_terminal_but_the_line_to_copy() {
        for width in [1, 20, 40, 57, 58, 80, 200] {
            for height in [1, 5, 10, 24, 50] {
                let lines = draw(&frame(), &figures(), (width, height));
                let rows: usize = lines.iter().map(|line| line.chars().count().div_ceil(width).max(1)).sum();
                assert!(rows <= height, "{width}x{height}: {rows} rows");
                for line in lines.iter().filter(|line| **line != frame().curl) {
                    assert!(line.chars().count() <= width, "{width}: {line}");
                }
            }
        }
        assert!(draw(&frame(), &figures(), (20, 15)).contains(&frame().curl), "it is whole or not there");
        assert!(!draw(&frame(), &figures(), (20, 10)).iter().any(|line| line.starts_with("curl")));
    }

    #[test]
    fn a_cut_line_shows_that_it_was_cut() {
        let lines = draw(&frame(), &figures(), (30, 50));
        assert_eq!(lines[2].chars().count(), 30);
        assert!(lines[2].starts_with("events") && lines[2].ends_with('…'), "{}", lines[2]);
    }

    #[test]
    fn the_picture_holds_the_figures() {
        let text = draw(&frame(), &figures(), (100, 50)).join("\n");
        for part in
            ["1,234,567", "2,000/s", "75.0%", "25.0%", "last_touch", "linear", "http://127.0.0.1:8686", "data/demo"]
        {
            assert!(text.contains(part), "{part} not in\n{text}");
        }
        let email = text.lines().find(|l| l.starts_with("email")).unwrap();
        let bars: Vec<_> = email.split(' ').filter(|w| w.contains('█')).map(|w| w.chars().count()).collect();
        assert_eq!(bars.len(), 2);
        assert!(bars[0] == 21 && bars[1] == 7, "{bars:?}");
        assert!(email.contains("3.0  75.0%") && email.contains("1.0  25.0%"), "{email}");
    }

    #[test]
    fn with_room_for_one_model_there_is_one() {
        let text = draw(&frame(), &figures(), (TWO_MODELS - 1, 50)).join("\n");
        assert!(text.contains("last_touch") && !text.contains("linear") && text.contains("3.0  75.0%"), "{text}");
        assert!(draw(&frame(), &figures(), (TWO_MODELS, 50)).join("\n").contains("linear"));
    }

    #[test]
    fn the_terminal_is_given_back() {
        let mut written = Vec::new();
        let mut terminal = Terminal::enter(&mut written).unwrap();
        terminal.show(&["one".into(), "two".into(), "three".into()], (80, 24)).unwrap();
        terminal.show(&["four".into()], (80, 24)).unwrap();
        terminal.show(&["five".into()], (40, 24)).unwrap();
        drop(terminal);
        let text = String::from_utf8(written).unwrap();
        assert!(text.contains("\x1b[2J\x1b[H\x1b[Kone\r\n\x1b[Ktwo\r\n\x1b[Jthree\x1b[H\x1b[Jfour\x1b[2J"), "{text:?}");
        assert!(text.ends_with("five\x1b[?25h\x1b[?1049l"), "{text:?}");
    }
}
