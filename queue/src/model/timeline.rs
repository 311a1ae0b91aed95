//! The events of a job: a pure function of the job as it is found, so that any process tells the same ones.
//!
//! A job's life is a row of *steps*: a step ends with an attempt, or when someone makes the job ready again. The id of an event
//! is the number of its step, times a million, plus its place in the step: 1 the state in which the job waits, 2 `running`, then
//! the reports of the attempt in their order. Where the job ends without having been run again, the final state has place 3. `end`
//! follows the final state. So ids only rise, and are the same whenever and wherever they are made.
//!
//! What the record no longer holds cannot be told again: all but the last 20 attempts, the last time that it was put off, the last
//! 100 log lines, and the last progress. That a job that had to wait is due is not told; it is told when it runs.

use super::{
    attempt::AttemptOutcome,
    reports::{Reports, Stamp},
    state::State,
    view::{AttemptView, JobView, Timestamp},
};

/// Ids of one step; an attempt with more reports than that has no events for the rest.
const STEP: u64 = 1_000_000;
/// Places in a step.
const WAITS: u64 = 1;
const RUNS: u64 = 2;
const ENDS_UNRUN: u64 = 3;

/// Something that happened to a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Rises from event to event of a job.
    pub id: u64,
    /// What happened.
    pub what: Happened,
}

/// What happened to a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// It came into a state.
    #[expect(missing_docs, reason = "the names of the fields say all")]
    State { state: State, attempt: u32, at: Option<Timestamp> },
    /// Its handler said how far it is.
    #[expect(missing_docs, reason = "the names of the fields say all")]
    Progress { percent: u8, message: String, attempt: u32, at: Timestamp },
    /// Its handler wrote a line.
    #[expect(missing_docs, reason = "the names of the fields say all")]
    Log { message: String, attempt: u32, at: Timestamp },
    /// It came to an end.
    #[expect(missing_docs, reason = "the names of the fields say all")]
    End { state: State, at: Option<Timestamp> },
    /// Something better took the place of what had come of it.
    #[expect(missing_docs, reason = "the names of the fields say all")]
    Replaced { at: Timestamp },
}

impl JobView {
    /// All events that the record holds, in rising order of their ids. The last is `end` when the job has come to an end; after it
    /// may come `replaced`.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        let mut events = self.waiting_events();
        for (position, attempt) in self.attempts.iter().enumerate() {
            self.add_attempt(&mut events, position, attempt);
        }
        self.add_reports(&mut events);
        if self.state.is_finished() {
            self.add_end(&mut events);
        }
        events.sort_by_key(|event| event.id);
        events
    }

    /// Those of [`JobView::events`] that come after the one with the id `last`; 0: all.
    #[must_use]
    pub fn events_after(&self, last: u64) -> Vec<Event> {
        self.events().into_iter().filter(|event| event.id > last).collect()
    }

    /// That it was pushed, was last put off, and that someone made it ready since it was last run.
    fn waiting_events(&self) -> Vec<Event> {
        let first = if self.trace.scheduled { State::Scheduled } else { State::Ready };
        let mut events = vec![state_event(id(0, WAITS), first, 1, Some(self.created_at))];
        let runs = self.state == State::Running;
        if let Some(at) = self.trace.revived_at.filter(|_| !runs) {
            let place = id(self.trace.steps, WAITS);
            events.push(state_event(place, State::Ready, self.trace.next_attempt, Some(at)));
        }
        if let Some((step, at)) = self.trace.snoozed_at {
            events.push(state_event(id(step + 1, WAITS), State::Scheduled, self.number_at(step), Some(at)));
        }
        events
    }

    fn add_attempt(&self, events: &mut Vec<Event>, position: usize, attempt: &AttemptView) {
        let number = attempt.number;
        if let Some(at) = attempt.revived_at {
            events.push(state_event(id(attempt.step, WAITS), State::Ready, number, Some(at)));
        }
        events.push(state_event(id(attempt.step, RUNS), State::Running, number, Some(attempt.started_at)));
        if let Some(state) = self.state_after(position) {
            events.push(state_event(id(attempt.step + 1, WAITS), state, number, attempt.finished_at));
        }
    }

    /// The number of the attempt that a run in this step would have been.
    fn number_at(&self, step: u32) -> u32 {
        let next = self.attempts.iter().find(|attempt| attempt.step > step);
        next.map_or(self.trace.next_attempt, |next| next.number)
    }

    /// The state that an attempt left the job in; `None` while it runs.
    fn state_after(&self, position: usize) -> Option<State> {
        let attempt = self.attempts.get(position)?;
        Some(match attempt.outcome? {
            AttemptOutcome::Succeeded => State::Succeeded,
            AttemptOutcome::Cancelled => State::Cancelled,
            // Read as none: see `History::with_counted_snoozes`.
            AttemptOutcome::Snoozed => return None,
            AttemptOutcome::Dead => State::Dead,
            AttemptOutcome::TimedOut | AttemptOutcome::Crashed if self.died_of(position, attempt) => State::Dead,
            AttemptOutcome::Retry | AttemptOutcome::TimedOut => State::Retrying,
            AttemptOutcome::Crashed | AttemptOutcome::HandedBack => State::Ready,
        })
    }

    /// Whether an attempt whose outcome does not tell was the last that the job was allowed: it is dead now, or had to be made
    /// ready by someone and counts its attempts anew.
    fn died_of(&self, position: usize, attempt: &AttemptView) -> bool {
        if attempt.died {
            return true;
        }
        // What older releases wrote does not say it.
        let (step, number) = match self.attempts.get(position + 1) {
            Some(next) => (next.step, next.number),
            None => (self.trace.steps, self.trace.next_attempt),
        };
        if step == attempt.step + 1 {
            return self.state == State::Dead && position + 1 == self.attempts.len();
        }
        match attempt.outcome {
            Some(AttemptOutcome::Crashed) => self.trace.snoozed_at.is_none(),
            _ => number <= attempt.number,
        }
    }

    fn add_reports(&self, events: &mut Vec<Event>) {
        let Reports { point, lines } = &self.trace.reports;
        let mut add = |stamp: &Stamp, what| {
            let place = (RUNS + u64::from(stamp.number)).min(STEP - 1);
            events.push(Event { id: id(stamp.step, place), what });
        };
        for line in lines {
            let (message, attempt) = (line.text.clone(), line.stamp.attempt);
            add(&line.stamp, Happened::Log { message, attempt, at: Timestamp::from_ms(line.stamp.at_ms) });
        }
        if let Some(point) = point {
            let (percent, message, attempt) = (point.percent, point.message.clone(), point.stamp.attempt);
            let at = Timestamp::from_ms(point.stamp.at_ms);
            add(&point.stamp, Happened::Progress { percent, message, attempt, at });
        }
    }

    fn add_end(&self, events: &mut Vec<Event>) {
        let last = self.attempts.len().checked_sub(1);
        let ended_it = |position: usize| {
            self.attempts[position].step + 1 == self.trace.steps && self.state_after(position) == Some(self.state)
        };
        let last_id = if last.is_some_and(ended_it) {
            id(self.trace.steps, WAITS)
        } else {
            let place = id(self.trace.steps, ENDS_UNRUN);
            events.push(state_event(place, self.state, self.attempt, self.finished_at));
            place
        };
        events.push(Event { id: last_id + 1, what: Happened::End { state: self.state, at: self.finished_at } });
        if let Some(at) = self.trace.replaced_at {
            events.push(Event { id: last_id + 2, what: Happened::Replaced { at } });
        }
    }
}

fn state_event(id: u64, state: State, attempt: u32, at: Option<Timestamp>) -> Event {
    Event { id, what: Happened::State { state, attempt, at } }
}

fn id(step: u32, place: u64) -> u64 {
    u64::from(step) * STEP + place
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::model::{
        attempt::Attempt,
        finished::Finished,
        history::History,
        id::JobId,
        new_job::NewJob,
        record::Record,
        reports::{Line, Point},
        stored_job::StoredJob,
    };

    const BORN_MS: u64 = 1_760_000_000_000;

    /// A job whose history is built step by step, and looked at as the client would.
    struct Life {
        id: JobId,
        record: Record,
        history: History,
    }

    impl Life {
        fn new() -> Self {
            let record = Record::new(NewJob::new("parcel", "1"), BORN_MS);
            Self { id: JobId::new(1, BORN_MS), record, history: History::default() }
        }

        fn ran(&mut self, outcome: AttemptOutcome) -> &mut Self {
            let (number, at) = (self.history.attempt(), BORN_MS + u64::from(self.history.steps) * 1_000);
            self.history.add(Attempt {
                number,
                worker: "a/1".to_owned(),
                started_ms: at + 100,
                finished_ms: at + 200,
                outcome,
                error: None,
                step: 0,
                revived_ms: None,
                died: false,
            });
            self
        }

        fn snoozed(&mut self) -> &mut Self {
            self.history.snooze("store_unavailable", BORN_MS + u64::from(self.history.steps) * 1_000 + 200);
            self
        }

        fn revived(&mut self) -> &mut Self {
            (self.history.failures, self.history.crashes) = (0, 0);
            self.history.revive(BORN_MS + 500);
            self
        }

        fn logged(&mut self, numbers: std::ops::RangeInclusive<u32>) -> &mut Self {
            let stamp = |number| Stamp { step: self.history.steps, number, attempt: 1, at_ms: BORN_MS };
            let lines: Vec<Line> = numbers.map(|n| Line { stamp: stamp(n), text: format!("line {n}") }).collect();
            self.history.reports.get_or_insert_default().lines.extend(lines);
            self
        }

        fn at_percent(&mut self, number: u32, percent: u8) -> &mut Self {
            let stamp = Stamp { step: self.history.steps, number, attempt: 1, at_ms: BORN_MS };
            self.history.reports.get_or_insert_default().point =
                Some(Point { stamp, percent, message: "half".to_owned() });
            self
        }

        fn seen(&self, state: State) -> JobView {
            let (place, record) = match state {
                State::Succeeded | State::Cancelled | State::Expired => {
                    let finished = Finished {
                        record: Cow::Owned(self.record.encode().unwrap().into()),
                        state,
                        finished_ms: BORN_MS + 9_000,
                        started_ms: None,
                        worker: None,
                        history: (self.history != History::default()).then(|| self.history.clone()),
                        success: None,
                        reports: None,
                        replaced_ms: None,
                    };
                    ("finished", finished.encode().unwrap())
                }
                state => (state.name(), self.record.encode().unwrap()),
            };
            let detail = (state == State::Running).then(|| format!("a/1/x/1@{BORN_MS}"));
            let history = Some(self.history.encode().unwrap());
            let found = StoredJob { place: place.to_owned().into(), record, detail, history, reports: None };
            JobView::of(self.id, "parcel", None, &found)
        }

        /// Each event as its id and what it says.
        fn told(&self, state: State) -> Vec<(u64, String)> {
            let say = |event: &Event| match &event.what {
                Happened::Log { message, .. } => message.clone(),
                Happened::Progress { percent, .. } => format!("{percent} %"),
                Happened::End { .. } => "end".to_owned(),
                Happened::Replaced { .. } => "replaced".to_owned(),
                Happened::State { state, .. } => state.name().to_owned(),
            };
            self.seen(state).events().iter().map(|event| (event.id, say(event))).collect()
        }
    }

    fn expect(told: &[(u64, String)], expected: &[(u64, &str)]) {
        let told: Vec<(u64, &str)> = told.iter().map(|(id, text)| (*id, text.as_str())).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn a_job_that_succeeds_at_once_has_four_events_and_no_history() {
        let told = Life::new().told(State::Succeeded);
        expect(&told, &[(1, "ready"), (2, "running"), (1_000_001, "succeeded"), (1_000_002, "end")]);
    }

    #[test]
    fn reports_stand_between_the_states_in_which_they_were_made() {
        let mut life = Life::new();
        life.logged(1..=2).at_percent(3, 50).ran(AttemptOutcome::Retry);
        let first = [(1, "ready"), (2, "running"), (3, "line 1"), (4, "line 2"), (5, "50 %"), (1_000_001, "retrying")];
        expect(&life.told(State::Retrying), &first);
        life.logged(1..=1).ran(AttemptOutcome::Succeeded);
        let rest = [(1_000_002, "running"), (1_000_003, "line 1"), (2_000_001, "succeeded"), (2_000_002, "end")];
        expect(&life.told(State::Succeeded), &[first.as_slice(), &rest].concat());
    }

    /// Whatever was told at one look is told under the same id at every later one.
    #[test]
    fn ids_stay_the_same_as_the_job_goes_on() {
        let outcomes = [
            (AttemptOutcome::Retry, State::Retrying),
            (AttemptOutcome::Crashed, State::Ready),
            (AttemptOutcome::HandedBack, State::Ready),
            (AttemptOutcome::TimedOut, State::Dead),
        ];
        let mut life = Life::new();
        let mut before = life.told(State::Ready);
        for (outcome, state) in outcomes {
            for after in [life.told(State::Running), life.ran(outcome).told(state)] {
                assert_eq!(after[..before.len()], before, "{outcome:?}");
                assert!(after.is_sorted_by(|a, b| a.0 < b.0), "{after:?}");
                before = after;
            }
        }
        assert_eq!(before.last().unwrap().1, "end");
    }

    #[test]
    fn an_ending_that_was_undone_is_followed_by_the_next_one() {
        let mut life = Life::new();
        life.ran(AttemptOutcome::TimedOut);
        let dead = [(1, "ready"), (2, "running"), (1_000_001, "dead")];
        expect(&life.told(State::Dead), &[dead.as_slice(), &[(1_000_002, "end")]].concat());
        life.revived();
        let ready = [dead.as_slice(), &[(2_000_001, "ready")]].concat();
        expect(&life.told(State::Ready), &ready);
        expect(&life.told(State::Running), &[ready.as_slice(), &[(2_000_002, "running")]].concat());
        let cancelled = [ready.as_slice(), &[(2_000_003, "cancelled"), (2_000_004, "end")]].concat();
        expect(&life.told(State::Cancelled), &cancelled);
        life.revived();
        let again = [dead.as_slice(), &[(3_000_001, "ready")]].concat();
        expect(&life.told(State::Ready), &again);
        assert!(life.seen(State::Ready).events_after(2_000_004).iter().all(|event| event.id == 3_000_001));
    }

    #[test]
    fn a_job_that_ends_without_having_been_run_says_so() {
        let life = Life::new();
        expect(&life.told(State::Cancelled), &[(1, "ready"), (3, "cancelled"), (4, "end")]);
        expect(&life.told(State::Expired), &[(1, "ready"), (3, "expired"), (4, "end")]);
    }

    #[test]
    fn ids_count_from_totals_when_attempts_are_no_longer_kept() {
        let mut life = Life::new();
        for _ in 0..50 {
            life.ran(AttemptOutcome::Retry);
        }
        let events = life.seen(State::Retrying).events();
        assert_eq!((events.len(), events[0].id), (1 + 20 * 2, 1), "its beginning and the last 20 attempts");
        assert_eq!((events[1].id, events[40].id), (30_000_002, 50_000_001));
    }

    #[test]
    fn whoever_follows_sees_each_snooze_and_later_only_the_last_is_told() {
        let mut life = Life::new();
        life.ran(AttemptOutcome::Crashed);
        let crashed = [(1, "ready"), (2, "running"), (1_000_001, "ready")];
        for step in 1..4 {
            let told = life.told(State::Running);
            assert_eq!(told.last().unwrap(), &(step * STEP + 2, "running".to_owned()));
            life.snoozed();
            let waits = [((step + 1) * STEP + 1, "scheduled")];
            expect(&life.told(State::Scheduled), &[crashed.as_slice(), &waits].concat());
        }
        life.ran(AttemptOutcome::Succeeded);
        let rest = [(4_000_001, "scheduled"), (4_000_002, "running"), (5_000_001, "succeeded"), (5_000_002, "end")];
        expect(&life.told(State::Succeeded), &[crashed.as_slice(), &rest].concat());
        assert_eq!((life.history.attempts.len(), life.history.failures), (2, 0));
    }

    #[test]
    fn progress_of_an_earlier_attempt_is_not_shown_while_the_next_one_runs() {
        let mut life = Life::new();
        life.at_percent(1, 70);
        assert_eq!(life.seen(State::Running).progress.unwrap().percent, 70);
        life.ran(AttemptOutcome::Retry);
        assert_eq!(life.seen(State::Retrying).progress.unwrap().percent, 70);
        assert_eq!(life.seen(State::Running).progress, None);
        let at = Some(Timestamp::from_ms(BORN_MS + 100));
        let running = Happened::State { state: State::Running, attempt: 1, at };
        assert_eq!(life.seen(State::Ready).events()[1].what, running);
    }
}
