//! docs/kafka-security.md, of which the tests take the grants and the settings as they stand there.

use std::path::Path;

use crate::grants::Grant;

/// The page.
pub fn text() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/kafka-security.md")).unwrap()
}

/// The commands that grant something to a principal, in order, each as its arguments.
pub fn commands(principal: &str) -> Vec<Vec<String>> {
    let start = format!("acls --allow-principal {principal} ");
    let text = text();
    let lines = text.lines().filter(|line| line.starts_with(&start));
    lines.map(|line| line.split(' ').skip(1).map(str::to_owned).collect()).collect()
}

/// The processor's commands, and the one for `verify` and `tail`, which is the last.
pub fn processor() -> (Vec<Vec<String>>, Vec<String>) {
    let mut commands = commands("User:tributary");
    let verify = commands.pop().unwrap();
    (commands, verify)
}

/// The single grants of a command: each operation on each resource.
pub fn grants(command: &[String]) -> Vec<Grant> {
    let mut operations = Vec::new();
    let mut resources = Vec::new();
    let (mut principal, mut pattern) = (String::new(), "LITERAL");
    for pair in command.chunks(2) {
        let [name, value] = pair else { panic!("{command:?}") };
        match name.as_str() {
            "--allow-principal" => principal.clone_from(value),
            "--operation" => operations.push(value.clone()),
            "--topic" => resources.push(("TOPIC", value.clone())),
            "--group" => resources.push(("GROUP", value.clone())),
            "--transactional-id" => resources.push(("TRANSACTIONAL_ID", value.clone())),
            "--resource-pattern-type" => pattern = if value == "prefixed" { "PREFIXED" } else { panic!("{value}") },
            _ => panic!("{name} is not known here"),
        }
    }
    let one = |(kind, name): &(&'static str, String), operation: &String| Grant {
        principal: principal.clone(),
        kind,
        name: name.clone(),
        pattern,
        operation: operation.clone(),
    };
    resources.iter().flat_map(|resource| operations.iter().map(|operation| one(resource, operation))).collect()
}

#[test]
fn commands_are_read_as_they_are_written() {
    let (processor, verify) = processor();
    assert_eq!(processor.iter().flat_map(|command| grants(command)).count(), 16, "the processor's single grants");
    let [verify] = &grants(&verify)[..] else { panic!("more than one grant for verify") };
    assert_eq!((verify.name.as_str(), verify.operation.as_str()), ("attributions", "Read"));
    let first = &grants(&processor[0])[0];
    assert_eq!((first.kind, first.pattern), ("TRANSACTIONAL_ID", "PREFIXED"));
}

/// Properties with a typing error would be found by a user first.
#[test]
fn librdkafka_takes_every_property_of_the_page() {
    let text = text();
    let mut blocks = 0;
    for block in text.split("```toml\n").skip(1) {
        let block = block.split("```").next().unwrap();
        let Some((_, properties)) = block.split_once("[kafka.properties]\n") else { continue };
        let mut config = rdkafka::ClientConfig::new();
        for line in properties.lines() {
            let (name, value) = line.trim_start_matches("# ").split_once(" = ").unwrap();
            config.set(name.trim_matches('"').trim_end_matches("_file"), value.trim_matches('"'));
        }
        config.create_native_config().unwrap_or_else(|error| panic!("{error}:\n{properties}"));
        blocks += 1;
    }
    assert_eq!(blocks, 3);
}
