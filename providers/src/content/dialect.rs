//! How much of the protocol an end point understands. Each is asked in the best way first; what it refuses is asked for in the next
//! one, and what it took is remembered.

/// One way to put a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) form: Form,
    pub(super) length: Length,
    /// Whether it is told how much to think.
    pub(super) effort: bool,
}

/// How the form of the answer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As a JSON schema that the end point keeps.
    Schema,
    /// As any JSON object, with the schema in words.
    Json,
    /// In words alone.
    Words,
}

/// How the answer's length is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// Under the protocol's name of today.
    Current,
    /// Under the name that older end points know.
    Former,
    /// Not at all.
    Unlimited,
}

impl Dialect {
    pub(super) const RESPONSES: Self = Self { form: Form::Schema, length: Length::Former, effort: true };
    pub(super) const CHAT: Self = Self { form: Form::Schema, length: Length::Current, effort: false };

    /// The next way to try, after one was refused with these words; `None` when what they name is no longer asked for, or nothing is
    /// left to leave out.
    pub(super) fn after(self, refusal: &str) -> Option<Self> {
        let refusal = refusal.to_lowercase();
        let names = |words: &[&str]| words.iter().any(|word| refusal.contains(word));
        let effort = names(&["reasoning", "effort"]);
        let length =
            names(&["max_completion_tokens", "max_tokens", "max_output_tokens", "context length", "context size"]);
        let form =
            names(&["response_format", "text.format", "schema", "json_object", "grammar", "structured", "guided"]);
        if !(effort || length || form) {
            return self
                .without_effort()
                .or_else(|| self.former())
                .or_else(|| self.looser())
                .or_else(|| self.unlimited());
        }
        let without_effort = if effort { self.without_effort() } else { None };
        let shorter = || if length { self.former().or_else(|| self.unlimited()) } else { None };
        let looser = || if form { self.looser() } else { None };
        without_effort.or_else(shorter).or_else(looser)
    }

    fn without_effort(self) -> Option<Self> {
        self.effort.then_some(Self { effort: false, ..self })
    }

    fn former(self) -> Option<Self> {
        (self.length == Length::Current).then_some(Self { length: Length::Former, ..self })
    }

    fn unlimited(self) -> Option<Self> {
        (self.length != Length::Unlimited).then_some(Self { length: Length::Unlimited, ..self })
    }

    fn looser(self) -> Option<Self> {
        let form = match self.form {
            Form::Schema => Form::Json,
            Form::Json => Form::Words,
            Form::Words => return None,
        };
        Some(Self { form, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways(mut dialect: Dialect, refusal: &str) -> Vec<Dialect> {
        let mut ways = vec![dialect];
        while let Some(next) = dialect.after(refusal) {
            assert!(ways.len() < 10, "it ends");
            ways.push(next);
            dialect = next;
        }
        ways
    }

    #[test]
    fn only_what_is_named_is_left_out() {
        let lengths: Vec<Length> =
            ways(Dialect::CHAT, "body.max_completion_tokens: Extra inputs").iter().map(|way| way.length).collect();
        assert_eq!(lengths, [Length::Current, Length::Former, Length::Unlimited]);
        let forms = ways(Dialect::CHAT, "This response_format type is unavailable now");
        assert_eq!(forms.iter().map(|way| way.form).collect::<Vec<_>>(), [Form::Schema, Form::Json, Form::Words]);
        assert!(forms.iter().all(|way| way.length == Length::Current));
        let efforts = ways(Dialect::RESPONSES, "Unsupported parameter: 'reasoning.effort'");
        assert_eq!(efforts.last(), Some(&Dialect { effort: false, ..Dialect::RESPONSES }));
    }

    #[test]
    fn without_a_name_everything_is_left_out_bit_by_bit() {
        let least = Dialect { form: Form::Words, length: Length::Unlimited, effort: false };
        let (chat, responses) = (ways(Dialect::CHAT, "Bad Request"), ways(Dialect::RESPONSES, "Bad Request"));
        assert_eq!((chat.len(), chat.last()), (5, Some(&least)));
        assert_eq!((responses.len(), responses.last()), (5, Some(&least)));
    }
}
