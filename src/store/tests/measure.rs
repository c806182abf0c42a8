//! Figures, not assertions: `cargo test --release --lib measure -- --ignored --nocapture`.

use super::*;

const FILES: usize = 10_000;

fn publish_many(durability: Durability) {
    let shared = Shared::with(|options| options.durability = durability);
    let content = "x".repeat(4096);
    let digest = id(&content);
    let (sender, receiver) = mpsc::channel();
    let began = Instant::now();
    for number in 0..FILES {
        let new = NewFile {
            size: Some(4096),
            ..new(&format!("d/{number}"))
        };
        let mut upload = shared.store.stage(new).unwrap();
        upload.write(content.as_bytes()).unwrap();
        let sender = sender.clone();
        upload.publish(
            digest,
            Box::new(move |outcome| sender.send(outcome.is_ok()).unwrap()),
        );
    }
    drop(sender);
    assert_eq!(receiver.iter().filter(|stored| *stored).count(), FILES);
    println!("{durability:?}: {FILES} x 4 KiB in {:?}", began.elapsed());

    let began = Instant::now();
    for number in 0..FILES {
        let found = shared.store.examine(&new(&format!("d/{number}"))).unwrap();
        assert!(found.is_some());
    }
    println!("examine: {FILES} taken names in {:?}", began.elapsed());
    let began = Instant::now();
    for number in 0..FILES {
        let found = shared.store.examine(&new(&format!("d/new-{number}")));
        assert!(found.unwrap().is_none());
    }
    println!("examine: {FILES} free names in {:?}", began.elapsed());

    shared.let_listings_catch_up();
    let began = Instant::now();
    assert_eq!(shared.names().len(), FILES);
    println!(
        "list: {FILES} names, walk included, in {:?}",
        began.elapsed()
    );
    let began = Instant::now();
    assert_eq!(shared.names().len(), FILES);
    println!("list: {FILES} names in {:?}", began.elapsed());
}

#[test]
#[ignore = "it only measures"]
fn measure_fsync() {
    publish_many(Durability::Fsync);
}

#[test]
#[ignore = "it only measures"]
fn measure_none() {
    publish_many(Durability::None);
}
