//! Brings a product in a store to what a job says of it: look up, make it hidden, write what differs, show it, look again.
//!
//! A run can be cut off at any point, and the next one does the same again: it sees what is there and writes what is still missing. What
//! cannot be seen there, as a product that is being made or a picture that is being sent, is noted before.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    action::{Action, Order, Publication, PublicationStatus},
    api::{Found, Seen, StoreApi},
    error::PublishError,
    fault::{Fault, Wrong},
    fields::{Change, Fields, changes, hash},
    listing::{ALL, Creating, Desk, Listing, MADE, Written},
    patch::{Field, Patch, Status},
    turns::{claim, not_superseded, priced, with_variants},
};
use crate::error::{Hold, ProviderError};

/// After so many rounds what still differs is what the shop makes of it.
const MOST_ROUNDS: usize = 3;

/// Carries out one order at one store.
///
/// # Errors
/// [`PublishError`]. A run that failed is repeated as a whole.
pub async fn carry_out(api: &dyn StoreApi, order: Order<'_>, desk: &mut Desk<'_>) -> Result<Publication, PublishError> {
    desk.now_ms = order.now_ms;
    match order.action {
        Action::Publish => publish(api, order, desk).await,
        Action::DryRun => dry_run(api, order, desk).await,
        Action::Unpublish => unpublish(api, order, desk).await,
        Action::Delete => delete(api, order, desk).await,
        Action::Verify => verify(api, order, desk).await,
    }
}

async fn publish(api: &dyn StoreApi, order: Order<'_>, desk: &mut Desk<'_>) -> Result<Publication, PublishError> {
    let mut said = not_superseded(&order, &desk.listing);
    let mut patch = priced(said.clone(), &desk.listing);
    let mut wanted = api.normal(order.key, &patch).await?;
    let (mut seen, before) = match find(api, order, desk).await? {
        Some(seen) => {
            let fields = seen.fields.clone();
            (seen, fields)
        }
        // What a later job deleted is not made again; nor is what only was to be brought up to date.
        None if order.keep_edits || desk.listing.is_superseded(ALL, order.job) => {
            return Ok(nothing(PublicationStatus::Unchanged));
        }
        None => {
            // It is made as this job says, also of what a later one has claimed: that has yet to come to its end, and what customers see
            // until then is whole. But what hides it counts at once.
            patch = priced(Patch { status: said.status.clone(), ..order.patch.clone() }, &Listing::default());
            wanted = api.normal(order.key, &patch).await?;
            (create(api, order, (&said, &patch), &wanted, desk).await?, Fields::new())
        }
    };
    if !before.is_empty()
        && seen.fields.get("variants").is_some_and(|variants| !variants.is_null())
        && desk.listing.is_superseded("variants", order.job)
    {
        // What a later job says of variants goes before what this one says of all of them; of prices `with_variants` knows more.
        let is_of_variants = |name: &String| api.of_variants().contains(&name.as_str());
        wanted.retain(|field, _| !is_of_variants(field));
        let without =
            |patch: &Patch| patch.only(&patch.names().into_iter().filter(|name| !is_of_variants(name)).collect());
        (said, patch) = (without(&said), without(&patch));
        desk.listing.missing.retain(|name| !is_of_variants(name));
    }
    if order.keep_edits {
        wanted.retain(|field, _| !is_edited(field, &seen, desk));
        let names = wanted.keys().cloned().collect();
        (said, patch) = (said.only(&names), patch.only(&names));
    }
    // Before anything is compared: also what is as it should be already is this job's from now on.
    claim(order, &said, desk).await?;
    if let Some(more) = with_variants(&order, &patch, &seen, &desk.listing)? {
        wanted = api.normal(order.key, &more).await?;
        patch = more;
    }
    let is_new = before.is_empty();
    let shall_show = match patch.status.change() {
        Some(status) => Some(status.copied().unwrap_or_default() == Status::Active),
        None => desk.listing.to_show.then_some(true),
    };
    let mut was = before;
    was.entry("status".to_owned()).or_insert(Value::Null);
    if shall_show == Some(false) {
        if desk.listing.to_show {
            desk.listing.to_show = false;
            desk.save().await?;
        }
        if seen.visible {
            api.show(&seen, false).await?;
            seen = look_again(api, order, desk).await?;
        }
    }
    let contents: Fields = wanted.iter().filter(|(field, _)| *field != "status").map(owned).collect();
    for round in 0.. {
        let differing = differing(&seen.fields, &contents, api, desk, round > 0);
        if differing.is_empty() {
            break;
        }
        if round == MOST_ROUNDS {
            return Err(PublishError::Refused(differing.into_iter().map(kept_as).collect()));
        }
        let names: BTreeSet<String> = differing.into_iter().map(|change| change.field).collect();
        api.write(&seen, &patch.only(&names), desk).await?;
        seen = look_again(api, order, desk).await?;
    }
    let mut noted = contents;
    if said.variants.is_kept() && desk.listing.missing.contains("variants") {
        // Those that are there were changed; which there shall be is for another job.
        noted.retain(|field, _| field != "variants" && field != "options");
    }
    note_written(&seen, &noted, shall_show, desk).await?;
    if shall_show == Some(true) && !seen.visible && desk.listing.missing.is_empty() {
        api.show(&seen, true).await?;
        seen = look_again(api, order, desk).await?;
        if !seen.visible {
            let shown = "the product stays hidden".to_owned();
            return Err(Fault::new("status", Wrong::KeptAs { shown }).into());
        }
    }
    if desk.listing.to_show && seen.visible {
        desk.listing.to_show = false;
        desk.save().await?;
    }
    note_place(&seen, order, desk).await?;
    let changes = made(&was, &seen.fields, &wanted, is_new);
    let status = match (changes.is_empty() && !is_new, seen.visible) {
        (true, _) => PublicationStatus::Unchanged,
        (false, true) => PublicationStatus::Published,
        (false, false) => PublicationStatus::Draft,
    };
    Ok(told(status, &seen, changes))
}

async fn dry_run(api: &dyn StoreApi, order: Order<'_>, desk: &mut Desk<'_>) -> Result<Publication, PublishError> {
    let mut patch = priced(not_superseded(&order, &desk.listing), &desk.listing);
    let mut wanted = api.normal(order.key, &patch).await?;
    let Some(seen) = look_up(api, order, desk).await? else {
        needed(&patch)?;
        let changes = wanted.into_iter().map(|(field, becomes)| Change { field, was: Value::Null, becomes }).collect();
        let status = match patch.status.set().copied().unwrap_or_default() {
            Status::Active => PublicationStatus::Published,
            Status::Draft => PublicationStatus::Draft,
        };
        return Ok(Publication { changes, ..nothing(status) });
    };
    if let Some(more) = with_variants(&order, &patch, &seen, &desk.listing)? {
        wanted = api.normal(order.key, &more).await?;
        patch = more;
    }
    let changes = differing(&seen.fields, &wanted, api, desk, false);
    let visible = patch.status.set().map_or(seen.visible, |status| *status == Status::Active);
    let status = match (changes.is_empty(), visible) {
        (true, _) => PublicationStatus::Unchanged,
        (false, true) => PublicationStatus::Published,
        (false, false) => PublicationStatus::Draft,
    };
    Ok(told(status, &seen, changes))
}

async fn unpublish(api: &dyn StoreApi, order: Order<'_>, desk: &mut Desk<'_>) -> Result<Publication, PublishError> {
    let seen = find(api, order, desk).await?;
    let is_superseded = ["status", MADE].iter().any(|name| desk.listing.is_superseded(name, order.job));
    if !is_superseded {
        // Also of a product that an earlier job has yet to make or to show.
        desk.listing.by.insert("status".to_owned(), order.job.to_owned());
        desk.listing.to_show = false;
        desk.save().await?;
    }
    let Some(seen) = seen else { return Ok(nothing(PublicationStatus::Unchanged)) };
    if !seen.visible || is_superseded {
        return Ok(told(PublicationStatus::Unchanged, &seen, Vec::new()));
    }
    api.show(&seen, false).await?;
    let seen = look_again(api, order, desk).await?;
    if seen.visible {
        let shown = "the product stays visible".to_owned();
        return Err(Fault::new("status", Wrong::KeptAs { shown }).into());
    }
    note_place(&seen, order, desk).await?;
    let changes = vec![Change { field: "status".to_owned(), was: json!("active"), becomes: json!("draft") }];
    Ok(told(PublicationStatus::Unpublished, &seen, changes))
}

async fn delete(api: &dyn StoreApi, order: Order<'_>, desk: &mut Desk<'_>) -> Result<Publication, PublishError> {
    // What a later job wrote stays.
    if desk.listing.by.values().any(|by| by.as_str() > order.job) {
        return Ok(nothing(PublicationStatus::Unchanged));
    }
    let seen = find(api, order, desk).await?;
    if let Some(seen) = &seen {
        if !(desk.listing.made_by_us || order.force) {
            return Err(Fault::new("sku", Wrong::NotOurs).into());
        }
        desk.listing.by.insert(ALL.to_owned(), order.job.to_owned());
        desk.save().await?;
        api.delete(seen).await?;
    }
    let by = [(ALL.to_owned(), order.job.to_owned())].into();
    desk.listing = Listing { by, ..Listing::default() };
    desk.save().await?;
    let changes =
        seen.map(|seen| Change { field: "status".to_owned(), was: shown_status(seen.visible), becomes: Value::Null });
    Ok(Publication { changes: changes.into_iter().collect(), ..nothing(PublicationStatus::Deleted) })
}

async fn verify(api: &dyn StoreApi, order: Order<'_>, desk: &mut Desk<'_>) -> Result<Publication, PublishError> {
    let Some(seen) = look_up(api, order, desk).await? else {
        let gone = desk.listing.external_id.as_ref().map(|_| Change {
            field: "status".to_owned(),
            was: json!("active"),
            becomes: Value::Null,
        });
        let status = if gone.is_some() { PublicationStatus::Drifted } else { PublicationStatus::Unchanged };
        return Ok(Publication { changes: gone.into_iter().collect(), ..nothing(status) });
    };
    let drifted = desk.listing.written.iter().filter_map(|(field, written)| {
        let shown = seen.fields.get(field).cloned().unwrap_or_default();
        let was = written.value.clone().unwrap_or_default();
        (hash(&shown) != written.shown).then(|| Change { field: field.clone(), was, becomes: shown })
    });
    let changes: Vec<Change> = drifted.collect();
    let status = if changes.is_empty() { PublicationStatus::Unchanged } else { PublicationStatus::Drifted };
    Ok(told(status, &seen, changes))
}

/// The product, which is remembered from now on.
async fn find(api: &dyn StoreApi, order: Order<'_>, desk: &mut Desk<'_>) -> Result<Option<Seen>, PublishError> {
    let seen = look_up(api, order, desk).await?;
    if let Some(seen) = &seen
        && desk.listing.external_id.as_deref() != Some(&seen.external_id)
    {
        // Made by an earlier run whose answer was lost, or by somebody else.
        let before = std::mem::take(&mut desk.listing);
        let made_by_us = seen.marked.unwrap_or(before.creating.is_some());
        desk.listing = Listing {
            external_id: Some(seen.external_id.clone()),
            made_by_us,
            to_show: before.to_show && made_by_us,
            missing: if made_by_us { before.missing } else { BTreeSet::new() },
            by: before.by,
            own_prices: before.own_prices,
            prices: before.prices,
            made_of: before.made_of,
            ..Listing::default()
        };
        desk.save().await?;
    }
    Ok(seen)
}

async fn look_up(api: &dyn StoreApi, order: Order<'_>, desk: &Desk<'_>) -> Result<Option<Seen>, PublishError> {
    match api.find(order.key, &desk.listing).await? {
        Found::Nothing => Ok(None),
        Found::Product(seen) => Ok(Some(*seen)),
        Found::Foreign(fault) => Err(fault.into()),
    }
}

/// As it is after a write.
async fn look_again(api: &dyn StoreApi, order: Order<'_>, desk: &Desk<'_>) -> Result<Seen, PublishError> {
    look_up(api, order, desk).await?.ok_or_else(|| {
        // Deleted in this moment.
        let message = format!("the product {:?} went away while it was written", order.key.sku);
        ProviderError::Transient { service: "publication", message, retry_after: None }.into()
    })
}

async fn create(
    api: &dyn StoreApi,
    order: Order<'_>,
    (said, patch): (&Patch, &Patch),
    wanted: &Fields,
    desk: &mut Desk<'_>,
) -> Result<Seen, PublishError> {
    if let Some(creating) = &desk.listing.creating
        && creating.until_ms > order.now_ms
    {
        return Err(still_coming(order, creating.until_ms));
    }
    needed(patch)?;
    let was_tried = desk.listing.creating.as_ref().is_some_and(|creating| creating.job == order.job);
    begin(api.created_within_ms(), order, patch, wanted, desk);
    let until_ms = desk.listing.creating.as_ref().map_or(0, |creating| creating.until_ms);
    claim(order, said, desk).await?;
    let seen = match api.create(order.key, patch).await {
        Ok(seen) => seen,
        // A shop that never answers it uses the job's attempts, from the second time on.
        Err(PublishError::Provider(ProviderError::UnknownOutcome { .. })) if !was_tried => {
            return Err(still_coming(order, until_ms));
        }
        Err(error @ PublishError::Provider(ProviderError::UnknownOutcome { .. })) => return Err(error),
        Err(error) => {
            desk.listing.creating = None;
            desk.save().await?;
            return Err(error);
        }
    };
    desk.listing.external_id = Some(seen.external_id.clone());
    desk.listing.made_by_us = true;
    desk.listing.creating = None;
    desk.listing.written.clear();
    desk.listing.pictures.clear();
    desk.listing.variants.clear();
    desk.save().await?;
    Ok(seen)
}

/// What is remembered before a product is made.
pub(super) fn begin(within_ms: u64, order: Order<'_>, patch: &Patch, wanted: &Fields, desk: &mut Desk<'_>) {
    let elapsed_ms = u64::try_from(desk.began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let until_ms = order.now_ms.saturating_add(elapsed_ms).saturating_add(within_ms);
    desk.listing.external_id = None;
    desk.listing.creating = Some(Creating { job: order.job.to_owned(), until_ms });
    desk.listing.own_prices.clear();
    desk.listing.missing = wanted.keys().filter(|name| *name != "status").cloned().collect();
    desk.listing.by.insert(MADE.to_owned(), order.job.to_owned());
    if !desk.listing.is_superseded("status", order.job) {
        // Who was to hide what was not there yet hides nothing, and goes before nobody.
        desk.listing.by.remove("status");
    }
    let is_active = patch.status.set().copied().unwrap_or_default() == Status::Active;
    desk.listing.to_show = is_active && !desk.listing.is_superseded("status", order.job);
}

/// A creation was not answered, and the shop may still be at it: whoever looked now could find nothing and make a second one.
pub(super) fn still_coming(order: Order<'_>, until_ms: u64) -> PublishError {
    let wait_ms = until_ms.saturating_sub(order.now_ms).max(1_000);
    ProviderError::Held {
        service: "publication",
        hold: Hold::Turn,
        message: format!("the shop gave no answer to the creation of {:?}, and may still be at it", order.key.sku),
        retry_in: std::time::Duration::from_millis(wait_ms),
    }
    .into()
}

/// What a product cannot be made without.
pub(super) fn needed(patch: &Patch) -> Result<(), PublishError> {
    let faults: Vec<Fault> = [("title", patch.title.set().is_none()), ("price", patch.price.set().is_none())]
        .into_iter()
        .filter(|(_, is_missing)| *is_missing)
        .map(|(field, _)| Fault::new(field, Wrong::Needed))
        .collect();
    if faults.is_empty() { Ok(()) } else { Err(PublishError::Refused(faults)) }
}

/// Whether somebody changed a field in the shop since it was written.
fn is_edited(field: &str, seen: &Seen, desk: &Desk<'_>) -> bool {
    let shown = hash(seen.fields.get(field).unwrap_or(&Value::Null));
    desk.listing.written.get(field).is_some_and(|written| written.shown != shown)
}

/// Remembers where customers find the product, and since when.
async fn note_place(seen: &Seen, order: Order<'_>, desk: &mut Desk<'_>) -> Result<(), PublishError> {
    let url = seen.url.clone().filter(|_| seen.visible);
    let since_ms = seen.visible.then(|| desk.listing.shown_since_ms.unwrap_or(order.now_ms));
    if desk.listing.url != url || desk.listing.shown_since_ms != since_ms {
        desk.listing.url = url;
        desk.listing.shown_since_ms = since_ms;
        desk.save().await?;
    }
    Ok(())
}

/// Notes what the shop shows of what was written, whichever run wrote it.
async fn note_written(
    seen: &Seen,
    contents: &Fields,
    shall_show: Option<bool>,
    desk: &mut Desk<'_>,
) -> Result<(), PublishError> {
    let mut is_news = false;
    for (field, sent) in contents {
        let written = Written::new(sent, seen.fields.get(field).unwrap_or(&Value::Null));
        is_news |= desk.listing.missing.remove(field);
        if desk.listing.written.get(field) != Some(&written) {
            desk.listing.written.insert(field.clone(), written);
            is_news = true;
        }
    }
    // It shows as soon as an earlier job has written what is still missing.
    if shall_show == Some(true) && !desk.listing.missing.is_empty() && !desk.listing.to_show {
        desk.listing.to_show = true;
        is_news = true;
    }
    if is_news { desk.save().await } else { Ok(()) }
}

/// What is yet to be written. A field that the shop rewrites is as it should be when it shows what it made of the same words before, or
/// right after they were written.
pub(super) fn differing(
    seen: &Fields,
    wanted: &Fields,
    api: &dyn StoreApi,
    desk: &Desk<'_>,
    was_written: bool,
) -> Vec<Change> {
    let mut changes = changes(seen, wanted);
    changes.retain(|change| {
        if !api.rewrites(&change.field) {
            return true;
        }
        let is_known = desk
            .listing
            .written
            .get(&change.field)
            .is_some_and(|written| written.sent == hash(&change.becomes) && written.shown == hash(&change.was));
        !(is_known || was_written)
    });
    changes
}

/// What was changed, in the shop's own words.
pub(super) fn made(was: &Fields, is: &Fields, wanted: &Fields, is_new: bool) -> Vec<Change> {
    let shown = |fields: &Fields, field: &str| fields.get(field).cloned().unwrap_or_default();
    let changed = wanted.keys().filter_map(|field| {
        let change = Change { field: field.clone(), was: shown(was, field), becomes: shown(is, field) };
        (is_new || change.was != change.becomes).then_some(change)
    });
    changed.collect()
}

fn kept_as(change: Change) -> Fault {
    let mut shown = change.was.to_string();
    if let Some((at, _)) = shown.char_indices().nth(200) {
        shown.truncate(at);
        shown.push('…');
    }
    Fault::new(change.field, Wrong::KeptAs { shown })
}

fn owned((field, value): (&String, &Value)) -> (String, Value) {
    (field.clone(), value.clone())
}

fn shown_status(visible: bool) -> Value {
    if visible { json!("active") } else { json!("draft") }
}

pub(super) fn told(status: PublicationStatus, seen: &Seen, changes: Vec<Change>) -> Publication {
    let external_id = Some(seen.external_id.clone());
    Publication {
        status,
        external_id,
        url: seen.url.clone().filter(|_| seen.visible),
        published: seen.visible,
        changes,
    }
}

fn nothing(status: PublicationStatus) -> Publication {
    Publication { status, external_id: None, url: None, published: false, changes: Vec::new() }
}

impl Patch {
    /// The same with a status.
    #[must_use]
    pub fn with_status(self, status: Status) -> Self {
        Self { status: Field::Set(status), ..self }
    }
}
