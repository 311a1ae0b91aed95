//! What `./dev` does before and beside the programs that it starts.

use std::process::Command;

use servers::{RedisKind, free_port, redis_binary, temp_dir};

/// Reads the script without running it; its own arguments are left in `arguments`.
const LOAD: &str = r#"
import importlib.machinery, importlib.util, os, resource, sys
from pathlib import Path
script, *arguments = sys.argv[1:]
loader = importlib.machinery.SourceFileLoader("dev", script)
dev = importlib.util.module_from_spec(importlib.util.spec_from_loader("dev", loader))
loader.exec_module(dev)
"#;

/// Starts one server on a folder, ends it, and starts the other; prints what is said then.
const ONE_AFTER_THE_OTHER: &str = r#"
folder, port, first, then = arguments
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

/// A command that prints its limit of open files.
const OPEN_FILES: &str = r#"
dev.run_command = lambda _: print("soft limit", resource.getrlimit(resource.RLIMIT_NOFILE)[0]) or 0
sys.exit(dev.main())
"#;

/// What cargo is called with.
const TEST: &str = r#"
dev.setup = lambda: None
dev.run_cargo = lambda words, **_: print(" ".join(words))
dev.command_test(arguments)
"#;

/// The whole start, of which every part does nothing.
const START: &str = r#"
for name in ("start_redis", "start_mongo", "start_shops", "start_mail_catcher", "mock_services", "seed", "write_secret"):
    setattr(dev, name, lambda *_: "")
dev.build, dev.write_token, dev.start_apps = lambda *_: Path("/target/debug"), lambda *_: "a-token", lambda *_: "an-url"
dev.app_environment, dev.run_demo = lambda *_: {"DB_NAME": "x"}, lambda *_: 0
def pause(_):
    raise dev.Stopped
dev.pause = pause
class System:
    children = staticmethod(list)
sys.exit(dev.run_system(System, "dev", False))
"#;

/// Runs `script` with the shell's `limits`, and returns what is printed.
fn said(limits: &str, script: &str, arguments: &[&str]) -> String {
    let output = Command::new("sh")
        .args(["-c", &format!("{limits} exec python3 -B -c \"$@\""), "sh", &format!("{LOAD}{script}")])
        .arg(tests::workspace().join("dev"))
        .args(arguments)
        .output()
        .expect("there is a shell");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_server_that_cannot_read_another_versions_data_is_named_in_words() {
    let valkey = redis_binary(RedisKind::Valkey).expect("./dev setup was run");
    let Some(redis7) = redis_binary(RedisKind::Redis7) else { return };
    let (valkey, redis7) = (valkey.to_string_lossy(), redis7.to_string_lossy());
    let one_after_the_other = |first: &str, then: &str| {
        let folder = temp_dir();
        let port = free_port().to_string();
        said("", ONE_AFTER_THE_OTHER, &[&folder.path().to_string_lossy(), &port, first, then])
    };
    let said = one_after_the_other(&valkey, &redis7);
    for part in ["started\n", "(Redis 7.0", "cannot read the data in", "which Valkey 9.1", "./dev clean"] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(one_after_the_other(&redis7, &valkey), "started\nstarted\n", "a newer one reads the older one's");
}

#[test]
fn dev_raises_its_limit_of_open_files_and_says_so_when_it_stays_low() {
    let low = said("ulimit -Sn 200; ulimit -Hn 2000;", OPEN_FILES, &[]);
    assert!(low.contains("only 2000 open files are allowed here") && low.contains("soft limit 2000\n"), "{low}");
    let enough = said("ulimit -Sn 200; ulimit -Hn 4096;", OPEN_FILES, &[]);
    assert_eq!(enough, "soft limit 4096\n");
}

#[test]
fn dev_test_runs_every_program_although_one_fails() {
    let all = said("", TEST, &[]);
    assert!(all.starts_with("build --workspace --bins\ntest --no-fail-fast --workspace\n"), "{all}");
    let one = said("", TEST, &["-p", "queue"]);
    assert!(one.starts_with("build --workspace --bins\ntest --no-fail-fast -p queue\n"), "{one}");
}

#[test]
fn dev_tells_how_ecomctl_is_found_and_where_its_secret_is() {
    let said = said("", START, &[]);
    assert!(said.contains("export PATH=\"/target/debug:$PATH\""), "{said}");
    assert!(said.contains("JWT_SECRET=$(cat .dev/secret) ecomctl token"), "{said}");
}
