//! Words of vendors and what they mean.

use super::said::Said;

impl Said {
    fn lower(&self) -> (String, String) {
        (format!("{} {}", self.code, self.kind).to_lowercase(), self.text.to_lowercase())
    }

    /// This input is not wanted, whoever pays for it.
    pub(super) fn is_moderation(&self) -> bool {
        let (code, text) = self.lower();
        let of_account = text.contains("account") || text.contains("access was terminated");
        self.has_flags
            || any(&code, &["content_filter", "content_policy", "moderation", "responsibleai", "invalid_prompt"])
            || any(&code, &["data_inspection", "content_safety", "sensitive"])
            || any(&text, &["requires moderation", "content management policy", "content exists risk"])
            || any(&text, &["content policy", "inappropriate content", "unsafe content", "sensitive content"])
            || (!of_account
                && any(&text, &["flagged", "safety system", "usage policies", "violates our", "moderation"]))
    }

    /// The account has no money left.
    pub(super) fn is_money(&self, status: u16) -> bool {
        let (code, text) = self.lower();
        if any(&code, &["quota", "credit", "spend", "billing", "budget", "balance", "payment", "arrear", "usage_limit"])
        {
            return true;
        }
        // Some say the same for a minute's limit.
        let passes = text.contains("rate limit") || text.contains("retry in") || code.contains("rate_limit");
        if status == 429 && passes {
            return false;
        }
        any(&text, &["insufficient balance", "insufficient credit", "insufficient fund", "insufficient quota"])
            || any(&text, &["insufficient account balance", "not enough balance", "not enough credit", "no balance"])
            || any(&text, &["out of credit", "credit balance", "available credits", "any credits", "more credits"])
            || any(&text, &["credit limit", "budget has been exceeded", "exceeded budget", "over budget"])
            || any(&text, &["exceededbudget", "crossed budget", "current quota", "payment required", "payment method"])
            || any(&text, &["billing details", "billing hard limit", "billing is not", "arrear", "overdue"])
            || any(&text, &["spending limit", "spend limit", "monthly limit", "usage limit", "余额不足", "欠费"])
    }

    /// The key, the place or the account is not welcome, whatever is asked.
    pub(super) fn is_account(&self) -> bool {
        let (code, text) = self.lower();
        any(&code, &["api_key", "authentication", "permission", "unauthorized", "access_terminated", "account"])
            || any(&code, &["organization", "unsupported_country", "ip_not", "invalid_token"])
            || any(&text, &["api key", "api-key", "apikey", "country", "region", "your account", "your organization"])
            || any(&text, &["your team", "your project", "permission", "not authorized", "unauthorized", "ip address"])
            || any(&text, &["suspended", "deactivated", "terminated", "access token", "authenticat"])
    }

    /// The vendor does not have the model, or no longer, or not for us.
    pub(super) fn is_model(&self) -> bool {
        let (code, text) = self.lower();
        any(&code, &["model_not_found", "invalid_model", "model_decommissioned"])
            || (text.contains("model")
                && (any(&text, &["not found", "does not exist", "doesn't exist", "not exist", "no such model"])
                    || any(&text, &["unknown model", "invalid model", "not a valid model", "decommissioned"])
                    || any(&text, &["have access", "been retired", "is deprecated"])))
    }

    /// It names a part of the request that the end point cannot do.
    pub(super) fn is_capability(&self) -> bool {
        let (_, text) = self.lower();
        any(&text, &["response_format", "json_schema", "json_object", "json schema", "grammar", "structured output"])
            || any(&text, &["max_completion_tokens", "max_output_tokens", "max_tokens", "context length", "guided"])
            || any(&text, &["reasoning.effort", "text.format", "requested parameters", "unsupported parameter"])
    }

    pub(super) fn is_rate(&self) -> bool {
        let (code, text) = self.lower();
        any(&code, &["rate_limit", "ratelimit", "too_many_requests", "slow_down"]) || text.contains("rate limit")
    }
}

fn any(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.contains(word))
}
