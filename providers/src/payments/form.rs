//! Bodies and queries as Stripe's API v1 wants them: forms, nested by brackets.

use url::form_urlencoded::Serializer;

/// A value as it is written in a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(String);

/// Values that are written as they are shown.
macro_rules! texts {
    ($($from:ty)*) => {
        $(impl From<$from> for Text {
            fn from(value: $from) -> Self {
                Self(value.to_string())
            }
        })*
    };
}

texts! { &str bool i32 i64 u32 }

/// What goes with a call, in order. Absent values are left out: to Stripe an empty one means "clear it".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With a value, whose name may have brackets: `line_items[0][price]`.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Text>) -> Self {
        self.0.push((name.into(), value.into().0));
        self
    }

    /// With a value if there is one.
    #[must_use]
    pub fn with_some(self, name: &str, value: Option<impl Into<Text>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// With a list. An empty one is sent as an empty value: a form of no elements says nothing, and Stripe would keep the list that it has.
    #[must_use]
    pub fn with_list<T: ToString>(self, name: &str, values: &[T]) -> Self {
        if values.is_empty() {
            return self.with(name, "");
        }
        values
            .iter()
            .enumerate()
            .fold(self, |form, (n, value)| form.with(format!("{name}[{n}]"), value.to_string().as_str()))
    }

    /// With pairs below a name, as `metadata`.
    #[must_use]
    pub fn with_pairs<'p>(self, name: &str, pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> Self {
        pairs.into_iter().fold(self, |form, (key, value)| form.with(format!("{name}[{key}]"), value))
    }

    /// Its names and values.
    #[must_use]
    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// As it is sent.
    #[must_use]
    pub fn encoded(&self) -> String {
        Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What npm `stripe` 23.1.0 sends for the same values, decoded.
    #[test]
    fn values_are_nested_by_brackets_and_an_empty_list_clears() {
        let form = Form::new()
            .with("mode", "subscription")
            .with("line_items[0][quantity]", 1)
            .with("cancel_at_period_end", true)
            .with_some("customer", Some("cus_1"))
            .with_some("customer_email", None::<&str>)
            .with_list("discounts", &[""; 0])
            .with_list("types", &["invoice.paid", "invoice.payment_failed"])
            .with_pairs("metadata", [("tenant", "Ünal & Co=1")]);
        let expected = "mode=subscription&line_items%5B0%5D%5Bquantity%5D=1&cancel_at_period_end=true&customer=cus_1&discounts=\
                        &types%5B0%5D=invoice.paid&types%5B1%5D=invoice.payment_failed&metadata%5Btenant%5D=%C3%9Cnal+%26+Co%3D1";
        assert_eq!(form.encoded(), expected);
        assert_eq!(Form::new().encoded(), "");
    }
}
