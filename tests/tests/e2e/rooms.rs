//! Inside a crate imports run one way: down the order that its `lib.rs` tells, and never in a circle.
//!
//! The line in the documentation of `lib.rs` is ``Order, lowest first: `model`, `client`.`` and names every module at the top of the
//! crate. A file uses only what stands before its own module there. A folder may tell the order of its files the same way in its
//! `mod.rs`. Re-exports of `lib.rs` and `mod.rs` and code of tests do not count; whoever uses a re-export uses the file that defines
//! the name.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use tests::workspace;

/// The crates whose rooms are in order.
const CRATES: &[&str] = &[
    "api",
    "bench",
    "ctl",
    "fleet",
    "jobs",
    "pictures",
    "prices",
    "process",
    "producer",
    "providers",
    "queue",
    "schedules",
    "services",
    "store",
    "worker",
    "zones",
];
const ORDER: &str = "Order, lowest first:";

#[test]
fn imports_inside_a_crate_run_one_way() {
    for name in CRATES {
        let mut files = BTreeMap::new();
        read(&workspace().join(name).join("src"), "", &mut files);
        assert!(files.len() > 1, "{name}: {files:?}");
        let complaints = complaints(&files);
        assert!(complaints.is_empty(), "{name}:\n{}", complaints.join("\n"));
    }
}

/// The Rust files of a folder by their paths in it.
fn read(folder: &Path, below: &str, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{below}{}", path.file_name().unwrap().to_string_lossy());
        if path.is_dir() {
            read(&path, &format!("{name}/"), files);
        } else if name.ends_with(".rs") {
            files.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
}

/// A module: a file, or a part of one in braces.
#[derive(Default)]
struct Module {
    /// The place of its file in [`Rooms::files`].
    file: usize,
    parent: usize,
    children: BTreeMap<String, usize>,
    /// What its `use` lines bind.
    names: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    /// Paths that count as imports.
    paths: Vec<Vec<String>>,
    order: Option<Vec<String>>,
}

/// What a path leads to.
#[derive(Clone, Copy, PartialEq)]
enum Target {
    Module(usize),
    /// Something that is defined in this module.
    Item(usize),
    /// Something of another crate, or of the same function.
    Elsewhere,
}

/// The modules of a crate, its root first.
#[derive(Default)]
struct Rooms {
    files: Vec<String>,
    modules: Vec<Module>,
}

fn complaints(files: &BTreeMap<String, String>) -> Vec<String> {
    let mut rooms = Rooms::default();
    let root = if files.contains_key("lib.rs") { "lib.rs" } else { "main.rs" };
    rooms.add_file(files, root, "", 0);
    let imports = rooms.imports();
    let mut complaints = rooms.without_a_place();
    complaints.extend(imports.iter().filter_map(|(from, to, path)| rooms.upward(*from, *to, path)));
    complaints.extend(rooms.circle(&imports));
    complaints
}

impl Rooms {
    /// Reads a file, and those that it declares, from the folder `below`.
    fn add_file(&mut self, files: &BTreeMap<String, String>, name: &str, below: &str, parent: usize) -> usize {
        let text = files.get(name).unwrap_or_else(|| panic!("{name} is declared and not there"));
        let (file, module) = (self.files.len(), self.modules.len());
        self.files.push(name.to_owned());
        self.modules.push(Module { file, parent, order: order(text), ..Module::default() });
        self.add_items(files, &without_tests(&tokens(text)), below, module);
        module
    }

    /// Reads what stands in a module.
    fn add_items(&mut self, files: &BTreeMap<String, String>, tokens: &[String], below: &str, module: usize) {
        let re_exports = ["lib.rs", "mod.rs"].contains(&self.file_name(module));
        let mut at = 0;
        while at < tokens.len() {
            let token = |ahead: usize| tokens.get(at + ahead).map_or("", String::as_str);
            match (token(0), token(2)) {
                ("mod", ";") => {
                    let name = token(1).to_owned();
                    let [flat, deep] = [format!("{below}{name}.rs"), format!("{below}{name}/mod.rs")];
                    let file = if files.contains_key(&flat) { flat } else { deep };
                    let child = self.add_file(files, &file, &format!("{below}{name}/"), module);
                    self.modules[module].children.insert(name, child);
                    at += 3;
                }
                ("mod", "{") => {
                    let end = end_of_block(tokens, at + 2);
                    let (child, name) = (self.modules.len(), token(1).to_owned());
                    self.modules.push(Module { file: self.modules[module].file, parent: module, ..Module::default() });
                    self.modules[module].children.insert(name.clone(), child);
                    self.add_items(files, &tokens[at + 3..end], &format!("{below}{name}/"), child);
                    at = end + 1;
                }
                ("use", _) => {
                    let is_public = at > 0 && (tokens[at - 1] == "pub" || tokens[at - 1] == ")");
                    let length = tokens[at..].iter().position(|token| token == ";").unwrap_or(tokens.len() - at);
                    self.add_use(module, &tokens[at + 1..at + length], &[], !(is_public && re_exports));
                    at += length + 1;
                }
                (word, _) if is_name(word) => {
                    let mut path = vec![word.to_owned()];
                    let is_of_a_crate = at > 0 && tokens[at - 1] == "::";
                    while tokens.get(at + 1).is_some_and(|token| token == "::")
                        && let Some(next) = tokens.get(at + 2).filter(|token| is_name(token))
                    {
                        path.push(next.clone());
                        at += 2;
                    }
                    if path.len() > 1 && !is_of_a_crate {
                        self.modules[module].paths.push(path);
                    }
                    at += 1;
                }
                _ => at += 1,
            }
        }
    }

    /// Reads a tree of a `use` line behind what stands `before` it. `counts`: as an import, and not only as a name.
    fn add_use(&mut self, module: usize, tree: &[String], before: &[String], counts: bool) {
        let names = tree.iter().take_while(|token| is_name(token) || *token == "::");
        let path: Vec<String> = names.clone().filter(|token| *token != "::" && *token != "as").cloned().collect();
        let mut path = [before, &path].concat();
        let this = &mut self.modules[module];
        match tree.get(names.count()).map(String::as_str) {
            Some("{") => {
                let open = tree.iter().position(|token| token == "{").unwrap();
                let close = end_of_block(tree, open);
                let (mut depth, mut from) = (0, open + 1);
                for at in open + 1..=close {
                    match tree[at].as_str() {
                        "{" => depth += 1,
                        "}" if at < close => depth -= 1,
                        "," | "}" if depth == 0 => {
                            if from < at {
                                self.add_use(module, &tree[from..at], &path, counts);
                            }
                            from = at + 1;
                        }
                        _ => {}
                    }
                }
            }
            Some("*") => {
                if counts {
                    this.paths.push([&path[..], &["*".to_owned()]].concat());
                }
                this.globs.push(path);
            }
            _ if tree.first().is_some_and(|first| first == "::") => {}
            _ => {
                let alias = tree.iter().position(|token| token == "as").map(|at| tree[at + 1].clone());
                path.truncate(path.len() - usize::from(alias.is_some()));
                // In braces, `self` is what stands before them.
                if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
                    path.pop();
                }
                if counts {
                    this.paths.push(path.clone());
                }
                if let Some(name) = alias.or_else(|| path.last().cloned()) {
                    this.names.insert(name, path);
                }
            }
        }
    }

    fn file_name(&self, module: usize) -> &str {
        let name = self.files[self.modules[module].file].as_str();
        name.rsplit('/').next().unwrap_or(name)
    }

    /// What a path leads to that stands in a module. `seen`: the names that led to it.
    fn resolve(&self, module: usize, path: &[String], seen: &mut BTreeSet<(usize, String)>) -> Target {
        let Some((first, rest)) = path.split_first() else { return Target::Module(module) };
        let found = match first.as_str() {
            "crate" => Target::Module(0),
            "self" => Target::Module(module),
            "super" => Target::Module(self.modules[module].parent),
            name => self.named(module, name, seen),
        };
        self.follow(found, rest, seen)
    }

    fn follow(&self, mut found: Target, rest: &[String], seen: &mut BTreeSet<(usize, String)>) -> Target {
        for name in rest {
            let Target::Module(module) = found else { return found };
            found = match (name.as_str(), self.named(module, name, seen)) {
                ("*", _) => return found,
                ("super", _) => Target::Module(self.modules[module].parent),
                (_, Target::Elsewhere) if self.modules[module].names.contains_key(name) => Target::Elsewhere,
                (_, Target::Elsewhere) => Target::Item(module),
                (_, found) => found,
            };
        }
        found
    }

    /// What a name in a module is: another module, or what a `use` line brings.
    fn named(&self, module: usize, name: &str, seen: &mut BTreeSet<(usize, String)>) -> Target {
        let this = &self.modules[module];
        if let Some(child) = this.children.get(name) {
            return Target::Module(*child);
        }
        if !seen.insert((module, name.to_owned())) {
            return Target::Elsewhere;
        }
        let found = match this.names.get(name) {
            // A macro that is made a name of its file.
            Some(path) if path.len() == 1 && path[0] == name => Target::Item(module),
            Some(path) => self.resolve(module, path, seen),
            None => {
                let of = |glob: &Vec<String>| match self.resolve(module, glob, seen) {
                    Target::Module(other) if other != module => Some(self.named(other, name, seen)),
                    _ => None,
                };
                let found = this.globs.iter().filter_map(of).find(|found| *found != Target::Elsewhere);
                found.unwrap_or(Target::Elsewhere)
            }
        };
        seen.remove(&(module, name.to_owned()));
        found
    }

    /// Which module uses which, each of another file, and by what path.
    fn imports(&self) -> Vec<(usize, usize, String)> {
        let mut imports = Vec::new();
        for (from, module) in self.modules.iter().enumerate() {
            for path in &module.paths {
                let targets = match self.resolve(from, path, &mut BTreeSet::new()) {
                    Target::Module(to) if path.last().is_some_and(|last| last == "*") => {
                        let names = self.modules[to].names.keys();
                        let of = |name: &String| self.named(to, name, &mut BTreeSet::new());
                        names.map(of).chain([Target::Item(to)]).collect()
                    }
                    target => vec![target],
                };
                for target in targets {
                    let to = match target {
                        Target::Item(to) => to,
                        // Of a folder's own module only what is behind it counts.
                        Target::Module(to) if !["lib.rs", "mod.rs"].contains(&self.file_name(to)) => to,
                        Target::Module(_) | Target::Elsewhere => continue,
                    };
                    if self.modules[to].file != module.file {
                        imports.push((from, to, path.join("::")));
                    }
                }
            }
        }
        imports
    }

    /// The modules around a module, from the root to itself, with their names.
    fn around(&self, module: usize) -> Vec<(usize, String)> {
        if module == 0 {
            return vec![(0, "lib".to_owned())];
        }
        let parent = self.modules[module].parent;
        let name = self.modules[parent].children.iter().find(|(_, child)| **child == module).unwrap().0;
        let mut around = self.around(parent);
        around.push((module, name.clone()));
        around
    }

    /// A complaint if the import runs up the order of the module in which both are. The root itself stands above all.
    fn upward(&self, from: usize, to: usize, path: &str) -> Option<String> {
        let (user, used) = (self.around(from), self.around(to));
        let n_common = user.iter().zip(&used).take_while(|(one, other)| one == other).count();
        let common = user[n_common - 1].0;
        let order = self.modules[common].order.as_ref()?;
        let place = |around: &[(usize, String)]| match around.get(n_common) {
            Some((_, name)) => order.iter().position(|other| other == name),
            None => (common == 0).then_some(usize::MAX),
        };
        let (from_place, to_place) = (place(&user)?, place(&used)?);
        let (user, used) = (&self.files[self.modules[from].file], &self.files[self.modules[to].file]);
        (from_place < to_place).then(|| format!("{user} uses {used}, which stands above it: {path}"))
    }

    /// The root has to name each of its modules once; a folder that tells an order, too.
    fn without_a_place(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        for (at, module) in self.modules.iter().enumerate() {
            let file = &self.files[module.file];
            match &module.order {
                Some(order) => {
                    let (mut told, there): (Vec<_>, Vec<_>) =
                        (order.iter().collect(), module.children.keys().collect());
                    told.sort();
                    if told != there {
                        complaints.push(format!("{file}: the order names {told:?}, and there are {there:?}"));
                    }
                }
                None if at == 0 => complaints.push(format!("{file}: no line says {ORDER:?}")),
                None => {}
            }
        }
        complaints
    }

    /// A circle of files, if there is one.
    fn circle(&self, imports: &[(usize, usize, String)]) -> Option<String> {
        let file = |module: usize| self.modules[module].file;
        let mut used: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for (from, to, _) in imports {
            used.entry(file(*from)).or_default().insert(file(*to));
        }
        // Whoever uses nobody is in no circle, and then neither is whoever uses only those.
        loop {
            let n_before = used.len();
            let there: BTreeSet<usize> = used.keys().copied().collect();
            used.retain(|_, files| !files.is_disjoint(&there));
            if used.len() == n_before {
                break;
            }
        }
        let mut way = vec![*used.keys().next()?];
        loop {
            let next = *used[way.last()?].iter().find(|file| used.contains_key(file))?;
            if let Some(begin) = way.iter().position(|file| *file == next) {
                let names = way[begin..].iter().chain([&next]).map(|file| self.files[*file].as_str());
                return Some(format!("a circle: {}", names.collect::<Vec<_>>().join(" uses ")));
            }
            way.push(next);
        }
    }
}

/// The order that the documentation of a file tells.
fn order(text: &str) -> Option<Vec<String>> {
    let docs: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
    let docs = docs.join(" ");
    let (_, order) = docs.split_once(ORDER)?;
    let order = order.split('.').next()?;
    Some(order.split('`').skip(1).step_by(2).map(str::to_owned).collect())
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Where the block ends that begins at `open`.
fn end_of_block(tokens: &[String], open: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len()
}

/// Without the items under an attribute such as `#[cfg(test)]`.
fn without_tests(tokens: &[String]) -> Vec<String> {
    let mut kept = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        if !(tokens[at] == "#" && tokens.get(at + 1).is_some_and(|token| token == "[")) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let end = at + tokens[at..].iter().position(|token| token == "]").unwrap();
        let attribute = &tokens[at + 2..end];
        let says = |word: &str| attribute.iter().any(|token| token == word);
        let is = |word: &str| attribute.first().is_some_and(|first| first == word);
        assert!(!is("macro_use") && !is("path"), "what {attribute:?} brings cannot be followed");
        at = end + 1;
        if is("cfg") && says("test") && !says("not") {
            // A `use` line ends behind its braces, anything else with them.
            let first = at + tokens[at..].iter().position(|token| ["use", ";", "{"].contains(&token.as_str())).unwrap();
            let end = match tokens[first].as_str() {
                "{" => end_of_block(tokens, first),
                _ => first + tokens[first..].iter().position(|token| token == ";").unwrap(),
            };
            at = end + 1;
        }
    }
    kept
}

/// Names, `::` and single signs; no comments, no texts.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let (mut tokens, mut at) = (Vec::new(), 0);
    let is_in_name = |c: &char| c.is_alphanumeric() || *c == '_';
    while at < chars.len() {
        let starts = |start: &str| chars[at..].iter().copied().take(start.len()).eq(start.chars());
        if starts("//") {
            at += chars[at..].iter().take_while(|c| **c != '\n').count();
        } else if starts("/*") {
            let rest: String = chars[at + 2..].iter().collect();
            at += 4 + rest.split("*/").next().unwrap().chars().count();
        } else if chars[at] == '"' {
            at += 1;
            while chars.get(at).is_some_and(|c| *c != '"') {
                at += if chars[at] == '\\' { 2 } else { 1 };
            }
            at += 1;
        } else if chars[at] == '\'' {
            // A character, or the beginning of a lifetime, whose name does no harm.
            let least = if chars.get(at + 1) == Some(&'\\') { 3 } else { 2 };
            let is_character = least == 3 || chars.get(at + 2) == Some(&'\'');
            at += 1 + if is_character {
                least + chars[at + least..].iter().take_while(|c| **c != '\'').count()
            } else {
                0
            };
        } else if is_in_name(&chars[at]) {
            let name: String = chars[at..].iter().take_while(|c| is_in_name(c)).collect();
            at += name.chars().count();
            let n_marks = chars[at..].iter().take_while(|c| **c == '#').count();
            if ["r", "br", "cr"].contains(&name.as_str()) && chars.get(at + n_marks) == Some(&'"') {
                let end: String = "\"".chars().chain(std::iter::repeat_n('#', n_marks)).collect();
                let rest: String = chars[at + n_marks + 1..].iter().collect();
                at += n_marks + 1 + rest.split(&end).next().unwrap().chars().count() + end.len();
            } else {
                tokens.push(name);
            }
        } else if starts("::") {
            tokens.push("::".to_owned());
            at += 2;
        } else {
            if !chars[at].is_whitespace() {
                tokens.push(chars[at].to_string());
            }
            at += 1;
        }
    }
    tokens
}

/// What is complained of in a crate of these files.
fn of(files: &[(&str, &str)]) -> Vec<String> {
    complaints(&files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
}

/// A crate with `low` and `high`.
fn two(low: &str, high: &str) -> Vec<String> {
    let lib = "//! A crate.\n//!\n//! Order, lowest first: `low`,\n//! `high`. More.\n\nmod low;\nmod high;\npub use high::High;\n";
    of(&[("lib.rs", lib), ("low.rs", low), ("high.rs", high)])
}

const UPWARD: &str = "low.rs uses high.rs, which stands above it: ";

#[test]
fn what_runs_down_is_fine() {
    assert_eq!(two("pub struct Low;", "use crate::low::Low;\npub struct High(Low);"), [""; 0]);
    assert_eq!(
        two("use std::fmt;\nuse high::Other;\nuse ::high::Another;", "pub struct High;"),
        [""; 0],
        "other crates"
    );
}

#[test]
fn an_import_that_runs_up_is_found_wherever_it_stands() {
    for (low, path) in [
        ("use crate::high::High;", "crate::high::High"),
        ("use super::high::High;", "super::high::High"),
        ("use crate::high;", "crate::high"),
        ("use crate::high as other;", "crate::high"),
        ("use crate::high::*;", "crate::high::*"),
        ("use crate::{\n    low,\n    high::{\n        High as Other,\n    },\n};", "crate::high::High"),
        ("use crate::{high::{self, f}};", "crate::high"),
        ("fn f() -> crate::high::High { g() }", "crate::high::High"),
        ("fn f() { log!(\"{}\", crate::high::N) }", "crate::high::N"),
        ("fn f() { use crate::high::N; }", "crate::high::N"),
        ("mod inner { use super::super::high::N; }", "super::super::high::N"),
        ("#[cfg(not(test))]\nuse crate::high::N;", "crate::high::N"),
        ("const A: char = '\"'; const B: char = '\\''; use crate::high::N; const C: char = '\"';", "crate::high::N"),
        ("use crate::high::shout;\nfn f() { shout!() }", "crate::high::shout"),
        ("fn f<'a>(x: &'a str) -> &'a str { crate::high::N }", "crate::high::N"),
    ] {
        let found =
            two(low, "pub struct High;\npub const N: u32 = 1;\nmacro_rules! shout { () => {} }\npub(crate) use shout;");
        assert!(found.contains(&format!("{UPWARD}{path}")), "{low}: {found:?}");
    }
}

#[test]
fn an_import_is_not_hidden_by_a_re_export() {
    for low in ["use crate::High;", "use crate::{High};", "fn f(_: crate::High) {}", "use super::*;"] {
        let found = two(low, "pub struct High;");
        assert!(found.iter().any(|complaint| complaint.starts_with(UPWARD)), "{low}: {found:?}");
    }
    // Through a folder, another name, and what is not public.
    let lib = "//! Order, lowest first: `low`, `rooms`.\nmod low;\nmod rooms;\npub use rooms::Shown as Told;";
    let rooms = "mod one;\nmod two;\npub(crate) use one::Named as Shown;\nuse two::*;\npub(crate) use two::f;";
    let with = |low: &str| {
        let (one, two) = ("pub struct Named;", "use super::Shown;\npub fn f() {}\npub use crate::low::N;");
        of(&[("lib.rs", lib), ("low.rs", low), ("rooms/mod.rs", rooms), ("rooms/one.rs", one), ("rooms/two.rs", two)])
    };
    assert_eq!(with("pub const N: u32 = 1;"), [""; 0]);
    for (low, file) in [
        ("use crate::Told;", "one"),
        ("use crate::rooms;\nfn g() { rooms::f() }", "two"),
        ("use crate::rooms as r;\nfn g(_: r::Shown) {}", "one"),
        ("use crate::{rooms::{self}};\nfn g(_: rooms::one::Named) {}", "one"),
        ("use crate::rooms::*;", "two"),
    ] {
        let found = with(&format!("pub const N: u32 = 1;\n{low}"));
        let upward = format!("low.rs uses rooms/{file}.rs, which stands above it");
        assert!(found.iter().any(|complaint| complaint.starts_with(&upward)), "{low}: {found:?}");
    }
}

#[test]
fn a_circle_is_found_also_within_a_folder() {
    let found = two("use crate::high::High;\npub struct Low;", "use crate::low::Low;\npub struct High;");
    assert!(found.contains(&"a circle: low.rs uses high.rs uses low.rs".to_owned()), "{found:?}");
    let lib = "//! Order, lowest first: `rooms`.\nmod rooms;";
    let rooms = "mod a;\nmod b;\nmod c;\npub use c::C;";
    let (a, b) = ("use super::b::B;\npub struct A;", "use super::C;\npub struct B;");
    let with = |c: &str| {
        of(&[("lib.rs", lib), ("rooms/mod.rs", rooms), ("rooms/a.rs", a), ("rooms/b.rs", b), ("rooms/c.rs", c)])
    };
    assert_eq!(with("pub struct C;"), [""; 0]);
    let circle = "a circle: rooms/a.rs uses rooms/b.rs uses rooms/c.rs uses rooms/a.rs";
    assert_eq!(with("pub struct C(super::a::A);"), [circle]);
    // What a `mod.rs` has besides re-exports is a file's like any other.
    let rooms = "//! Order, lowest first: `a`.\nmod a;\nuse a::A;\npub struct Both(A);";
    let found = of(&[("lib.rs", lib), ("rooms/mod.rs", rooms), ("rooms/a.rs", "pub struct A(super::Both);")]);
    assert_eq!(found, ["a circle: rooms/mod.rs uses rooms/a.rs uses rooms/mod.rs"]);
}

#[test]
fn the_order_of_a_folder_holds_too_where_it_is_told() {
    let lib = "//! Order, lowest first: `rooms`.\nmod rooms;";
    let rooms = "//! Order, lowest first: `a`, `b`.\nmod a;\nmod b;";
    let with =
        |a: &str| of(&[("lib.rs", lib), ("rooms/mod.rs", rooms), ("rooms/a.rs", a), ("rooms/b.rs", "pub struct B;")]);
    assert_eq!(with("pub struct A;"), [""; 0]);
    let upward = "rooms/a.rs uses rooms/b.rs, which stands above it: super::b::B";
    assert_eq!(with("use super::b::B;"), [upward]);
}

#[test]
fn what_the_root_defines_stands_above_all() {
    let lib = "//! Order, lowest first: `low`.\nmod low;\npub struct Top;\npub fn run() { low::f() }";
    assert_eq!(of(&[("lib.rs", lib), ("low.rs", "pub fn f() {}")]), [""; 0]);
    let found = of(&[("lib.rs", lib), ("low.rs", "pub fn f() -> crate::Top { crate::Top }")]);
    assert!(found.contains(&"low.rs uses lib.rs, which stands above it: crate::Top".to_owned()), "{found:?}");
}

#[test]
fn tests_comments_and_texts_do_not_count() {
    let low = "//! crate::high::High\n/* use crate::high::N; */\nconst A: &str = \"use crate::high::N; \\\" crate::high::N\";\n\
               const B: &str = r#\"\" crate::high::N\"#;\n\
               #[cfg(test)]\nuse crate::{high::N};\n#[cfg(test)]\nfn f() -> u32 { crate::high::N }\n\
               #[cfg(test)]\nmod tests { use super::*; use crate::high::N; fn g() { crate::high::N; } }\n\
               #[cfg(test)]\nmod more;\npub struct Low;";
    assert_eq!(two(low, "use crate::low::Low;\npub const N: u32 = 1;\npub struct High;"), [""; 0]);
}

#[test]
fn every_module_has_its_place() {
    let lib = "//! Order, lowest first: `low`, `gone`.\nmod low;\nmod high;";
    let found = of(&[("lib.rs", lib), ("low.rs", ""), ("high.rs", "")]);
    assert_eq!(found, ["lib.rs: the order names [\"gone\", \"low\"], and there are [\"high\", \"low\"]"]);
    let found = of(&[("lib.rs", "mod low;"), ("low.rs", "")]);
    assert_eq!(found, ["lib.rs: no line says \"Order, lowest first:\""]);
}
