//! What a model is asked to do, whatever the protocol.

use serde_json::Value;

/// Letters of a token, at least; for estimates.
const LETTERS_OF_A_TOKEN: u64 = 3;

/// A task: what to do, with what, and the form of the answer.
pub(super) trait Task: Sync {
    /// What to do.
    fn task(&self) -> String;

    /// The data. Nothing of it stands in the instructions, so that nothing in it can pass for one.
    fn input(&self) -> String;

    /// The name of the answer's form; vendors want one.
    fn form_name(&self) -> &'static str;

    /// The form. Strict mode wants every property required and no other allowed.
    fn schema(&self) -> Value;

    /// The most tokens that an answer may have, thinking included.
    fn most_output(&self) -> u32;
}

/// What to do, and after a bad answer, what was wrong with it. The form of the answer too, `in_words`, where nothing else tells it.
pub(super) fn instructions(task: &dyn Task, complaint: Option<&str>, in_words: bool) -> String {
    let mut instructions = task.task();
    if in_words {
        instructions.push_str("\nAnswer with one JSON object and nothing else. It has this JSON schema: ");
        instructions.push_str(&task.schema().to_string());
    }
    if let Some(complaint) = complaint {
        instructions
            .push_str(&format!("\nYour last answer could not be used: {complaint}. Answer again without this fault."));
    }
    instructions
}

/// How many tokens so many letters are.
pub(super) fn of_letters(letters: usize) -> u64 {
    u64::try_from(letters).unwrap_or(u64::MAX) / LETTERS_OF_A_TOKEN
}
