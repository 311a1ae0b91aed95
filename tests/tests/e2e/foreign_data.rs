//! `./dev` on data that another version of a server wrote.

use std::{path::Path, process::Command};

use servers::{RedisKind, free_port, redis_binary, temp_dir};

/// Starts one server on a folder, ends it, and starts the other; prints what is said then.
const SCRIPT: &str = r#"
import importlib.machinery, importlib.util, os, sys
from pathlib import Path
script, folder, port, first, then = sys.argv[1:]
loader = importlib.machinery.SourceFileLoader("dev", script)
dev = importlib.util.module_from_spec(importlib.util.spec_from_loader("dev", loader))
loader.exec_module(dev)
dev.LOGS, dev.STATE = Path(folder), Path(folder, "run.json")
lock = os.open(Path(folder, "lock"), os.O_CREAT | os.O_RDWR)
for binary in (first, then):
    system = dev.System(lock)
    try:
        dev.start_redis_on(system, binary, int(port), Path(folder, "data"))
        print("started")
    except dev.Problem as problem:
        print(problem.what, problem.help)
    finally:
        system.stop()
"#;

fn started_one_after_the_other(first: &Path, then: &Path) -> String {
    let folder = temp_dir();
    let output = Command::new("python3")
        .args(["-B", "-c", SCRIPT])
        .arg(tests::workspace().join("dev"))
        .arg(folder.path())
        .arg(free_port().to_string())
        .args([first, then])
        .output()
        .expect("python3 is there, as ./dev needs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_server_that_cannot_read_another_versions_data_is_named_in_words() {
    let valkey = redis_binary(RedisKind::Valkey).expect("./dev setup was run");
    let Some(redis7) = redis_binary(RedisKind::Redis7) else { return };
    let said = started_one_after_the_other(&valkey, &redis7);
    for part in ["started\n", "(Redis 7.0", "cannot read the data in", "which Valkey 9.1", "./dev clean"] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(
        started_one_after_the_other(&redis7, &valkey),
        "started\nstarted\n",
        "a newer one reads the older one's"
    );
}
