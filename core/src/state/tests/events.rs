//! Events: their round trip under a key that the commit makes, their frozen bytes, and what must
//! not pass.

use super::*;

fn accessor() -> Accessor {
    Accessor::parse("ABCDEFGHIJKLMNOPQRSTUVWX").unwrap()
}

fn all_kinds() -> Vec<Event> {
    let lease = LeaseId::of(Path::parse("canary/b").unwrap(), &"x".repeat(24)).unwrap();
    let event = |kind, about| Event {
        kind,
        about,
        at: UnixMillis::new(7),
        token: None,
        owner: None,
        expires: None,
    };
    let hash = TokenHash::from_slice(&[3; 32]).unwrap();
    let granted = Event {
        token: Some(hash),
        owner: Some(accessor()),
        expires: Some(UnixMillis::new(9)),
        ..event(EventKind::Granted, About::Lease(lease.clone()))
    };
    vec![
        granted.clone(),
        Event {
            kind: EventKind::Renewed,
            ..granted
        },
        event(EventKind::Expired, About::Lease(lease)),
        event(
            EventKind::Revoked,
            About::Prefix(Path::parse("canary").unwrap()),
        ),
        event(EventKind::Revoked, About::Token(accessor())),
    ]
}

/// Commits these events as one transaction, after `before` others.
fn told(events: &[Event], before: u64) -> (MemoryStore, Barrier) {
    let (mut store, barrier) = (MemoryStore::default(), barrier());
    for _ in 0..before {
        store.commit(Vec::new());
    }
    let mut txn = Txn::default();
    events.iter().cloned().for_each(|event| txn.tell(event));
    assert!(!txn.is_empty());
    txn.seal_events(&barrier, &mut TestRandom::new(2)).unwrap();
    store.commit(txn.into_ops());
    (store, barrier)
}

#[test]
fn a_transaction_has_one_row_under_its_own_revision() {
    let events = all_kinds();
    let (store, barrier) = told(&events, 41);
    assert_eq!(store.records().len(), 1);
    let view = View::new(&store, &barrier);
    let row = view.get::<Events>(&42).unwrap().unwrap();
    assert_eq!(
        (row.value, row.create_revision, row.mod_revision),
        (events, 42, 42)
    );
    let inside = |range| view.peek::<Events>(range, 9).unwrap().len();
    assert_eq!(inside(Events::range_after(41)), 1);
    assert_eq!(inside(Events::range_after(42)), 0);
    assert_eq!(inside(Events::range_after(u64::MAX)), 0);
    assert_eq!(inside(Events::range_to(42)), 1);
    assert_eq!(inside(Events::range_to(41)), 0);
    assert_eq!(inside(Events::range_to(u64::MAX)), 1);
    for stored in store.records().values() {
        for canary in ["canary", accessor().as_str()] {
            let mut windows = stored.value.windows(canary.len());
            assert!(!windows.any(|window| window == canary.as_bytes()));
        }
    }
}

/// The value is sealed for the table, so the row itself must say its revision.
#[test]
fn a_row_under_another_revision_is_refused() {
    let (mut store, barrier) = told(&all_kinds(), 0);
    let row = store.records()[&key_of::<Events>(&1)].clone();
    store.tamper(key_of::<Events>(&2), row);
    let view = View::new(&store, &barrier);
    assert!(matches!(
        view.get::<Events>(&2),
        Err(ReadError::Malformed { .. })
    ));
}

#[test]
fn marks_and_the_floor() {
    let mark = EventMark {
        bytes: 5,
        closed: UnixMillis::new(6),
    };
    same::<EventMarks>(&7, &mark);
    same::<EventFloor>(&(), &8);
    assert_eq!(hex::encode(EventMarks::encode(&mark)), "080110051806");
    assert_eq!(hex::encode(EventFloor::encode(&8)), "08011008");
    assert_eq!(
        hex::encode(key_of::<EventMarks>(&0x0102)),
        "023d0000000000000102"
    );
    assert_eq!(hex::encode(key_of::<EventFloor>(&())), "023e");
    for length in [0, 7, 9] {
        assert_eq!(Events::read_key(&vec![0; length]), None);
        assert_eq!(EventMarks::read_key(&vec![0; length]), None);
    }
}

#[test]
fn the_bytes_of_events_are_frozen() {
    assert_eq!(
        hex::encode(key_of::<Events>(&0x0102)),
        "023c0000000000000102"
    );
    assert_eq!(hex::encode(Events::encode(&all_kinds())), FROZEN);
    assert!(Events::decode(&[0xff; 9]).is_none());
    // Another format, an event about nothing, one of an unknown kind.
    for bytes in ["0802", "08011200", "0801120408091007"] {
        assert!(
            Events::decode(&hex::decode(bytes).unwrap()).is_none(),
            "{bytes}"
        );
    }
}

const FROZEN: &str = "08011268080110071a240a0863616e6172792f621218787878787878787878787878787878787878787878787878322003030303030303030303030303030303030303030303030303030303030303033a184142434445464748494a4b4c4d4e4f50515253545556575840091268080210071a240a0863616e6172792f621218787878787878787878787878787878787878787878787878322003030303030303030303030303030303030303030303030303030303030303033a184142434445464748494a4b4c4d4e4f5051525354555657584009122a080310071a240a0863616e6172792f621218787878787878787878787878787878787878787878787878120c08041007220663616e617279121e080410072a184142434445464748494a4b4c4d4e4f505152535455565758";
