//! The events of a job: a pure function of the job as it is found, so that any process tells the same ones.
//!
//! A job's life is a row of *steps*: a step ends with an attempt, or when someone makes the job ready again. The id of an event
//! is the number of its step, times a million, plus its place in the step: 1 the state in which the job waits, 2 `running`, then
//! the reports of the attempt in their order. Where the job ends without having been run again, the final state has place 3. `end`
//! follows the final state. So ids only rise, and are the same whenever and wherever they are made.
//!
//! What the record no longer holds cannot be told again: all but the last 20 attempts, the last 100 log lines, and the last
//! progress. That a job that had to wait is due is not told; it is told when it runs.

use serde_json::{Value, json};

use crate::{
    message::{AttemptOutcome, History, Record, State},
    progress::{Reports, Stamp},
    view::{AttemptView, JobView, Progress, Timestamp},
};

/// Ids of one step; an attempt with more reports than that has no events for the rest.
const STEP: u64 = 1_000_000;
/// Places in a step.
const WAITS: u64 = 1;
const RUNS: u64 = 2;
const ENDS_UNRUN: u64 = 3;

/// What only the events of a job need of its record.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trace {
    /// It had to wait for its time when it was pushed.
    pub(crate) scheduled: bool,
    /// See [`History::steps`].
    pub(crate) steps: u32,
    /// The number of the attempt that runs or would come next.
    pub(crate) next_attempt: u32,
    /// When someone made it ready, if it was not run since.
    pub(crate) revived_at: Option<Timestamp>,
    pub(crate) reports: Reports,
}

impl Trace {
    pub(crate) fn new(record: &Record, history: &History) -> Self {
        Self {
            scheduled: record.options.run_at_ms.is_some(),
            steps: history.steps,
            next_attempt: history.attempt(),
            revived_at: history.revived_ms.map(Timestamp::from_ms),
            reports: Reports::default(),
        }
    }
}

/// Something that happened to a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Rises from event to event of a job.
    pub id: u64,
    /// `state`, `progress`, `log` or `end`.
    pub name: &'static str,
    /// `job`, `at`, and by its name: `state` and `attempt`; `percent`, `message` and `attempt`; `message` and `attempt`; `state`.
    pub data: Value,
}

impl JobView {
    /// All events that the record holds, in rising order of their ids. The last is `end` when the job has come to an end.
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

    /// Takes over what was reported of the job. While it runs, what an earlier attempt said of its progress is not shown.
    pub(crate) fn set_reports(&mut self, reports: Option<Reports>) {
        if let Some(reports) = reports {
            self.trace.reports = reports;
        }
        let point = self.trace.reports.point.as_ref();
        let point = point.filter(|point| self.state != State::Running || point.stamp.step == self.trace.steps);
        self.progress = point.map(|point| Progress { percent: point.percent, message: point.message.clone() });
    }

    /// That it was pushed, and that someone made it ready since it was last run.
    fn waiting_events(&self) -> Vec<Event> {
        let first = if self.trace.scheduled { State::Scheduled } else { State::Ready };
        let mut events = vec![self.state_event(id(0, WAITS), first, 1, Some(self.created_at))];
        let runs = self.state == State::Running;
        if let Some(at) = self.trace.revived_at.filter(|_| !runs) {
            let place = id(self.trace.steps, WAITS);
            events.push(self.state_event(place, State::Ready, self.trace.next_attempt, Some(at)));
        }
        events
    }

    fn add_attempt(&self, events: &mut Vec<Event>, position: usize, attempt: &AttemptView) {
        let number = attempt.number;
        if let Some(at) = attempt.revived_at {
            events.push(self.state_event(id(attempt.step, WAITS), State::Ready, number, Some(at)));
        }
        events.push(self.state_event(id(attempt.step, RUNS), State::Running, number, Some(attempt.started_at)));
        if let Some(state) = self.state_after(position) {
            events.push(self.state_event(id(attempt.step + 1, WAITS), state, number, attempt.finished_at));
        }
    }

    /// The state that an attempt left the job in; `None` while it runs.
    fn state_after(&self, position: usize) -> Option<State> {
        let attempt = self.attempts.get(position)?;
        Some(match attempt.outcome? {
            AttemptOutcome::Succeeded => State::Succeeded,
            AttemptOutcome::Cancelled => State::Cancelled,
            AttemptOutcome::Snoozed => State::Scheduled,
            AttemptOutcome::HandedBack => State::Ready,
            AttemptOutcome::Dead => State::Dead,
            AttemptOutcome::TimedOut | AttemptOutcome::Crashed if self.died_of(position, attempt) => State::Dead,
            AttemptOutcome::Retry | AttemptOutcome::TimedOut => State::Retrying,
            AttemptOutcome::Crashed => State::Ready,
        })
    }

    /// Whether an attempt whose outcome does not tell was the last that the job was allowed: it is dead now, or had to be made
    /// ready by someone and counts its attempts anew.
    fn died_of(&self, position: usize, attempt: &AttemptView) -> bool {
        let (step, number) = match self.attempts.get(position + 1) {
            Some(next) => (next.step, next.number),
            None => (self.trace.steps, self.trace.next_attempt),
        };
        if step == attempt.step + 1 {
            return self.state == State::Dead && position + 1 == self.attempts.len();
        }
        attempt.outcome == Some(AttemptOutcome::Crashed) || number <= attempt.number
    }

    fn add_reports(&self, events: &mut Vec<Event>) {
        let Reports { point, lines } = &self.trace.reports;
        let mut add = |name, stamp: &Stamp, mut data: Value| {
            data["job"] = json!(self.id);
            data["attempt"] = json!(stamp.attempt);
            data["at"] = json!(Timestamp::from_ms(stamp.at_ms));
            let place = (RUNS + u64::from(stamp.number)).min(STEP - 1);
            events.push(Event { id: id(stamp.step, place), name, data });
        };
        for line in lines {
            add("log", &line.stamp, json!({ "message": line.text }));
        }
        if let Some(point) = point {
            add("progress", &point.stamp, json!({ "percent": point.percent, "message": point.message }));
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
            events.push(self.state_event(place, self.state, self.attempt, self.finished_at));
            place
        };
        let data = json!({ "job": self.id, "state": self.state, "at": self.finished_at });
        events.push(Event { id: last_id + 1, name: "end", data });
    }

    fn state_event(&self, id: u64, state: State, attempt: u32, at: Option<Timestamp>) -> Event {
        Event { id, name: "state", data: json!({ "job": self.id, "state": state, "attempt": attempt, "at": at }) }
    }
}

fn id(step: u32, place: u64) -> u64 {
    u64::from(step) * STEP + place
}
