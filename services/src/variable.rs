//! A variable of the environment: its name, what is told of it, and whether a value can be right.

/// A variable of the environment.
#[derive(Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Another name that is read when it is not set.
    pub also: Option<&'static str>,
    /// What it is for.
    pub about: &'static str,
    /// What counts when it is not set.
    pub default: Option<&'static str>,
    /// A value that is right in production; in that of a secret stands `hushhush`, so that tests can look for it.
    pub example: Option<&'static str>,
    /// Whether the service works without it.
    pub need: Need,
    /// Whether its value must never be shown.
    pub secret: bool,
    check: Check,
}

/// Whether a service works without a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Never.
    Required,
    /// In development, where it has a default.
    InProduction,
    /// Unless this other variable is set.
    With(&'static str),
    /// If this other variable is set.
    Unless(&'static str),
    /// Always.
    Optional,
}

/// Why a value is wrong: what completes "`NAME` …". Never quotes the value of a secret.
pub(crate) type Check = fn(&str, &Environment<'_>) -> Option<String>;

/// The variables, and where they are meant for.
pub struct Environment<'a> {
    /// Whether it is `APP_ENV=production`.
    pub production: bool,
    var: &'a dyn Fn(&str) -> Option<String>,
}

/// A variable whose value cannot be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// Its name.
    pub variable: &'static str,
    /// What is wrong with it; completes "`NAME` …".
    pub reason: String,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.variable, self.reason)
    }
}

impl std::fmt::Debug for Environment<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Environment").field("production", &self.production).finish_non_exhaustive()
    }
}

impl<'a> Environment<'a> {
    /// The variables as `var` gives them.
    pub fn new(production: bool, var: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { production, var }
    }

    /// The value of a variable, trimmed; an empty one counts as not set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        (self.var)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

impl Variable {
    /// One that the service does not work without.
    pub(crate) const fn required(name: &'static str, about: &'static str, check: Check) -> Self {
        Self { name, also: None, about, default: None, example: None, need: Need::Required, secret: false, check }
    }

    pub(crate) const fn optional(name: &'static str, about: &'static str, check: Check) -> Self {
        Self { need: Need::Optional, ..Self::required(name, about, check) }
    }

    pub(crate) const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    pub(crate) const fn needed(self, need: Need) -> Self {
        Self { need, ..self }
    }

    pub(crate) const fn or(self, also: &'static str) -> Self {
        Self { also: Some(also), ..self }
    }

    pub(crate) const fn default(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    pub(crate) const fn example(self, example: &'static str) -> Self {
        Self { example: Some(example), ..self }
    }

    /// Its value, under either name.
    #[must_use]
    pub fn value(&self, environment: &Environment<'_>) -> Option<String> {
        environment.get(self.name).or_else(|| environment.get(self.also?))
    }

    /// What is wrong with a value of it.
    pub(crate) fn fault(&self, value: &str, environment: &Environment<'_>) -> Option<Malformed> {
        (self.check)(value, environment).map(|reason| Malformed { variable: self.name, reason })
    }

    pub(crate) fn is_needed(&self, environment: &Environment<'_>) -> bool {
        match self.need {
            Need::Required => true,
            Need::InProduction => environment.production,
            Need::With(other) => environment.has(other),
            Need::Unless(other) => !environment.has(other),
            Need::Optional => false,
        }
    }
}
