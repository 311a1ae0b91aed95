//! Which systems are there to be measured beside ours.

use crate::{
    apalis_redis::ApalisRedis,
    arguments::{Arguments, Peer},
    bare::Bare,
    before::Before,
    bullmq::BullMq,
    extruct::Extruct,
    ours::Ours,
    python::Python,
    system::System,
};

/// Ours, bare Redis and the chosen peers. Of a peer that is not there it is said why.
pub(crate) fn with_ours(arguments: &Arguments) -> Vec<Box<dyn System>> {
    let chosen = |peer| arguments.peers.iter().any(|choice| matches!(choice, Peer::All) || *choice == peer);
    let mut systems: Vec<Box<dyn System>> = vec![Box::new(Ours), Box::new(Bare)];
    if let Some(producer) = &arguments.producer {
        systems.push(Box::new(Before { producer: producer.clone() }));
    }
    if chosen(Peer::BullMq) {
        systems.extend(bullmq(arguments));
    }
    if chosen(Peer::ApalisRedis) {
        systems.push(Box::new(ApalisRedis { tuned: true }));
        systems.push(Box::new(ApalisRedis { tuned: false }));
    }
    if chosen(Peer::RustySidekiq) {
        systems.extend(rusty_sidekiq());
    }
    for (peer, system) in [(Peer::Celery, "celery"), (Peer::Taskiq, "taskiq")] {
        if chosen(peer) {
            systems.extend(python(arguments, system));
        }
    }
    if chosen(Peer::Extruct) {
        systems.extend(extruct(arguments));
    }
    systems
}

fn bullmq(arguments: &Arguments) -> Option<Box<dyn System>> {
    match &arguments.node {
        Some(node) if arguments.modules.join("node_modules/bullmq").exists() => {
            Some(Box::new(BullMq { node: node.clone(), modules: arguments.modules.clone() }))
        }
        _ => {
            eprintln!("NOT RUN: BullMQ, because --node or --modules is not there; `./dev bench` brings both");
            None
        }
    }
}

#[cfg(feature = "rusty-sidekiq")]
fn rusty_sidekiq() -> Option<Box<dyn System>> {
    Some(Box::new(crate::rusty_sidekiq::RustySidekiq))
}

#[cfg(not(feature = "rusty-sidekiq"))]
fn rusty_sidekiq() -> Option<Box<dyn System>> {
    eprintln!(
        "NOT RUN: rusty-sidekiq, because this program is built without it; \
         `cargo build --release -p bench --features rusty-sidekiq` builds it"
    );
    None
}

fn python(arguments: &Arguments, system: &'static str) -> Option<Box<dyn System>> {
    match &arguments.python {
        Some(python) if arguments.python_modules.join(system).exists() => {
            Some(Box::new(Python { system, python: python.clone(), modules: arguments.python_modules.clone() }))
        }
        _ => {
            eprintln!(
                "NOT RUN: {system}, because --python or --python-modules is not there; \
                 `./dev bench --peers {system}` brings both"
            );
            None
        }
    }
}

fn extruct(arguments: &Arguments) -> Option<Box<dyn System>> {
    match &arguments.python {
        Some(python) if arguments.extruct_modules.join("extruct").exists() => {
            Some(Box::new(Extruct { python: python.clone(), modules: arguments.extruct_modules.clone() }))
        }
        _ => {
            eprintln!(
                "NOT RUN: extruct, because --python or --extruct-modules is not there; \
                 `./dev bench --peers extruct` brings both"
            );
            None
        }
    }
}
