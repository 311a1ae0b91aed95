//! Words of Stripe that it may add to: each is known, or kept as it is.

/// An enum of words, with `Unknown` for all others.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$each])* $variant,)*
            /// A word that is not known here: it changes nothing, and is to be told.
            Unknown(String),
        }

        impl $name {
            /// What this word of Stripe's means.
            #[must_use]
            pub fn named(word: &str) -> Self {
                match word {
                    $($word => Self::$variant,)*
                    _ => Self::Unknown(word.to_owned()),
                }
            }

            /// Stripe's word.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)*
                    Self::Unknown(word) => word,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.pad(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(Self::named(&String::deserialize(deserializer)?))
            }
        }
    };
}

words! {
    /// The state of a subscription at Stripe.
    Status {
        /// The first payment is awaited, for 23 hours.
        Incomplete = "incomplete",
        /// The first payment did not come; final.
        IncompleteExpired = "incomplete_expired",
        /// Used before the first payment.
        Trialing = "trialing",
        /// Paid.
        Active = "active",
        /// A payment failed and is tried again.
        PastDue = "past_due",
        /// It has ended; final.
        Canceled = "canceled",
        /// Payments failed, and are tried no more; invoices are made, and stay drafts.
        Unpaid = "unpaid",
        /// No invoices are made: see [`PauseReason`].
        Paused = "paused",
    }
}

words! {
    /// Why a subscription is paused (Stripe's `status_details.paused.subscription.type`, since 2026-09-30.endive).
    PauseReason {
        /// Somebody asked for it.
        Requested = "pause_requested",
        /// The trial ended without a payment method.
        TrialEndWithoutPaymentMethod = "trial_end_without_payment_method",
        /// The first payment failed.
        FirstPaymentFailure = "first_payment_failure",
        /// The last try of a payment failed.
        FinalPaymentFailure = "final_payment_failure",
        /// Stripe did it.
        System = "system",
    }
}

words! {
    /// The state of an invoice.
    InvoiceStatus {
        /// It may still change, and nobody is asked to pay.
        Draft = "draft",
        /// To be paid.
        Open = "open",
        /// Paid.
        Paid = "paid",
        /// Given up.
        Uncollectible = "uncollectible",
        /// It does not count.
        Void = "void",
    }
}

words! {
    /// The state of a checkout session.
    SessionStatus {
        /// It can be completed at its address.
        Open = "open",
        /// It was; there is a subscription.
        Complete = "complete",
        /// Its time is over.
        Expired = "expired",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_stripe_adds_is_kept_as_it_is() {
        for word in
            ["incomplete", "incomplete_expired", "trialing", "active", "past_due", "canceled", "unpaid", "paused"]
        {
            let status = Status::named(word);
            assert!(!matches!(status, Status::Unknown(_)) && status.as_str() == word, "{word}");
        }
        assert_eq!(Status::named("hibernating"), Status::Unknown("hibernating".to_owned()));
        let json = serde_json::to_string(&PauseReason::named("on_the_moon")).unwrap();
        assert_eq!(json, "\"on_the_moon\"");
        assert_eq!(serde_json::from_str::<PauseReason>("\"pause_requested\"").unwrap(), PauseReason::Requested);
    }
}
