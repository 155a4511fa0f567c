//! `tributary replay` of files.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::Instant;

use tributary::topics::Input;

use crate::load::Load;
use crate::stage::{Stage, binary};

/// Writes events until the files have that many bytes, and prints how long `replay` takes for them.
pub fn measure(stage: &Stage, bytes: u64) {
    let [touchpoints, conversions, rows] =
        ["touchpoints.ndjson", "conversions.ndjson", "rows.ndjson"].map(|name| stage.path(name));
    let [mut touchpoints_file, mut conversions_file] =
        [&touchpoints, &conversions].map(|path| BufWriter::new(File::create(path).unwrap()));
    // About 190 bytes an event.
    let mut load = Load::new(bytes / 190, stage.schemas);
    load.lines = true;
    let (mut written, mut events) = (0, 0_u64);
    while written < bytes {
        let event = load.next();
        let line = event.line.unwrap();
        let file = if event.input == Input::Touchpoints { &mut touchpoints_file } else { &mut conversions_file };
        writeln!(file, "{line}").unwrap();
        written += line.len() as u64 + 1;
        events += 1;
    }
    touchpoints_file.flush().unwrap();
    conversions_file.flush().unwrap();
    let began = Instant::now();
    let mut command = binary();
    command.arg("replay").arg("--touchpoints").arg(&touchpoints).arg("--conversions").arg(&conversions);
    let status = command.arg("--output").arg(&rows).status().unwrap();
    assert!(status.success(), "replay: {status}");
    println!(
        "replay of {:.0} MB: {:.2} s ({events} events, {:.0} MB of rows)",
        written as f64 / 1e6,
        began.elapsed().as_secs_f64(),
        std::fs::metadata(&rows).unwrap().len() as f64 / 1e6
    );
}
