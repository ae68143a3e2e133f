//! The tables of options in `docs/` name the defaults that a configuration has.

use std::time::Duration;

use longwire::Config;

/// The cells behind the option `name` in the table of a page.
fn cells(page: &str, name: &str) -> Vec<String> {
    let path = format!("{}/../docs/{page}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect("the page can be read");
    let begin = format!("| `{name}` |");
    let row = text.lines().find(|line| line.starts_with(&begin));
    let row = row.unwrap_or_else(|| panic!("docs/{page} has no row for {name}"));
    row.split('|').skip(2).map(|cell| cell.trim().to_owned()).collect()
}

/// As people write it: 250 ms, 10 s.
fn time(duration: Duration) -> String {
    let text = format!("{duration:?}");
    let unit = text.find(|c: char| !c.is_ascii_digit()).expect("a unit");
    format!("{} {}", &text[..unit], &text[unit..])
}

fn mebibytes(bytes: usize) -> String {
    assert_eq!(bytes % (1 << 20), 0);
    format!("{} MiB", bytes >> 20)
}

#[test]
fn the_pages_name_the_defaults() {
    let config = Config::new("ws://localhost");
    let reconnect = config.reconnect.expect("clients reconnect by default");
    let interval = config.heartbeat.interval.expect("there is a heartbeat by default");
    let (thousands, ones) = (config.max_fragments / 1000, config.max_fragments % 1000);
    let deflate = config.compression.expect("compression is offered by default");
    let expected = [
        ("connecting.md", "max_redirects", config.max_redirects.to_string()),
        ("connecting.md", "connect_timeout", time(config.connect_timeout)),
        ("connecting.md", "close_timeout", time(config.close_timeout)),
        ("connecting.md", "max_message_size", mebibytes(config.max_message_size)),
        ("connecting.md", "max_fragments", format!("{thousands},{ones:03}")),
        ("connecting.md", "send_buffer", mebibytes(config.send_buffer)),
        ("connecting.md", "receive_buffer", mebibytes(config.receive_buffer)),
        ("messages.md", "threshold", deflate.threshold.to_string()),
        ("messages.md", "level", deflate.level.to_string()),
        ("messages.md", "memory_level", deflate.memory_level.to_string()),
        (
            "messages.md",
            "client_no_context_takeover",
            deflate.client_no_context_takeover.to_string(),
        ),
        (
            "messages.md",
            "server_no_context_takeover",
            deflate.server_no_context_takeover.to_string(),
        ),
        ("messages.md", "client_max_window_bits", deflate.client_max_window_bits.to_string()),
        ("messages.md", "server_max_window_bits", deflate.server_max_window_bits.to_string()),
        ("heartbeat.md", "interval", time(interval)),
        ("heartbeat.md", "timeout", time(config.heartbeat.timeout)),
        ("reconnecting.md", "min_delay", time(reconnect.min_delay)),
        ("reconnecting.md", "max_delay", time(reconnect.max_delay)),
        ("reconnecting.md", "factor", reconnect.factor.to_string()),
        ("reconnecting.md", "stable_after", time(reconnect.stable_after)),
        ("reconnecting.md", "max_retry_after", time(reconnect.max_retry_after)),
        ("reconnecting.md", "restart_min_delay", time(reconnect.restart_min_delay)),
        ("reconnecting.md", "restart_max_delay", time(reconnect.restart_max_delay)),
        ("connecting.md", "hook_timeout", time(config.hook_timeout)),
    ];
    for (page, name, default) in expected {
        let cells = cells(page, name);
        assert!(cells.contains(&default), "docs/{page}: {name}: expected {default} in {cells:?}");
    }
}
