use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn config(window_ms: i64, max_ids: usize) -> DedupeConfig {
    DedupeConfig {
        header: "id".into(),
        window_ms,
        max_ids,
    }
}

/// What the window promises, without any thought for memory: ids with their time, oldest first.
#[derive(Default)]
struct Naive(Vec<(u128, Offset, i64)>);

impl Naive {
    fn find(&self, id: u128, now: i64, window_ms: i64) -> Option<Offset> {
        let newest = self.0.iter().rev().find(|known| known.0 == id)?;
        (now - newest.2 < window_ms).then_some(newest.1)
    }
}

proptest! {
    #[test]
    fn it_knows_what_a_naive_list_knows(
        steps in proptest::collection::vec((0_u8..24, 0_i64..30), 1..200),
        window_ms in 1_i64..60,
        max_ids in 1_usize..12,
    ) {
        let mut window = Window::new(config(window_ms, max_ids), Offset(0));
        let mut naive = Naive::default();
        let mut now = 0;
        for (at, (id, later)) in steps.into_iter().enumerate() {
            now += later;
            let (id, offset) = (u128::from(id) << 64 | u128::from(id), Offset(at as i64));
            window.expire(Timestamp(now));
            let known = window.find(id, Timestamp(now)).map(|known| known.offset);
            prop_assert_eq!(known, naive.find(id, now, window_ms));
            if known.is_none() {
                window.observe(id, offset, Timestamp(now));
                naive.0.push((id, offset, now));
                let over = naive.0.len().saturating_sub(max_ids);
                naive.0.drain(..over);
            }
            prop_assert!(window.len() <= max_ids);
        }
    }
}

#[test]
fn of_ids_that_came_twice_only_the_newest_counts() {
    let mut window = Window::new(config(10, 100), Offset(0));
    window.observe(1, Offset(0), Timestamp(0));
    window.observe(1, Offset(5), Timestamp(10));
    assert_eq!(window.len(), 1);
    // The older place is given up without taking the newer with it.
    window.expire(Timestamp(11));
    assert_eq!(
        window.find(1, Timestamp(11)).map(|known| known.offset),
        Some(Offset(5))
    );
    window.expire(Timestamp(20));
    assert_eq!(window.len(), 0);
}

#[test]
fn places_wrap() {
    let mut window = Window::new(config(1000, 3), Offset(0));
    window.front = u32::MAX - 1;
    for id in 0..10 {
        window.observe(id, Offset(id as i64), Timestamp(0));
    }
    let known: HashMap<_, _> = (0..10)
        .filter_map(|id| Some((id, window.find(id, Timestamp(1))?.offset.0)))
        .collect();
    assert_eq!(known, HashMap::from([(7, 7), (8, 8), (9, 9)]));
}

/// What the reference page says: 44 to 75 bytes.
#[test]
fn what_an_id_costs() {
    let mut window = Window::new(config(1 << 40, 1_000_000), Offset(0));
    let mut most = 0.0_f64;
    for id in 0..1_000_000_u128 {
        let id = crate::message_headers::id_hash(&id.to_be_bytes());
        window.observe(id, Offset(0), Timestamp(0));
        let ids = window.len();
        if ids >= 1000 {
            most = most.max(window.heap_bytes() as f64 / ids as f64);
        }
    }
    let full = window.heap_bytes() as f64 / window.len() as f64;
    println!("{full:.1} bytes an id when full, {most:.1} at most on the way");
    assert!((37.0..=45.0).contains(&full), "{full}");
    assert!(most <= 75.0, "{most}");
    let mut window = window;
    window.expire(Timestamp(1 << 41));
    assert_eq!(window.len(), 0);
    assert!(window.heap_bytes() < 1024, "{}", window.heap_bytes());
}
