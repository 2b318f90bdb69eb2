//! The spool of events as it is found on disk: any bytes are read, what is whole is kept, and it goes on from there within its bounds.

use crate::Target;
use crate::bounds::Bounds;
use model::event::{
    EventKind, EventQuery, EventSeverity, EventSpool, Occurrence, SPOOL_MAX_BYTES, SPOOL_MOST, SpoolWrite,
};
use model::time::UnixMillis;

/// The target.
pub const TARGET: Target = Target {
    name: "events",
    what: "the spool of events on disk",
    run,
    seeds,
    words: &["\n", "00000000 ", "{\"acked\":7}", "{\"head\":{\"schema\":1}}", "{\"turn\":{\"events\":[]}}"],
    bounds: Bounds { heap_per_byte: 512, ..Bounds::USUAL },
};

fn run(input: &[u8]) {
    let Ok(found) = EventSpool::read(input, 7) else { return };
    let mut spool = found.spool;
    let seen = count(&spool);
    assert!(seen <= SPOOL_MOST);
    let newest = spool.newest();
    let one = Occurrence::new(EventKind::DiskReserve, "", EventSeverity::Info, "one");
    spool.turn((UnixMillis(1), false), vec![one], None, String::new);
    assert!(spool.newest() > newest || newest == u64::MAX);
    let mut file = input.to_vec();
    while let Some(write) = spool.next_write() {
        match write {
            SpoolWrite::Append { bytes, .. } => file.extend(bytes),
            SpoolWrite::Whole(bytes) => file = bytes,
        }
        spool.written();
    }
    assert!(file.len() <= SPOOL_MAX_BYTES);
    let again = EventSpool::read(&file, 7).map(|found| found.spool);
    let again = again.unwrap_or_else(|fault| panic!("what was written cannot be read: {fault}"));
    assert_eq!(count(&again), count(&spool), "what is written is what is there");
}

fn count(spool: &EventSpool) -> usize {
    let (mut count, mut after) = (0, 0);
    loop {
        let page = spool.page(&EventQuery { after, since: None, most: 500 });
        assert!(page.events.windows(2).all(|two| two[0].seq < two[1].seq), "the numbers rise");
        count += page.events.len();
        if !page.more {
            return count;
        }
        assert!(page.next > after, "each page goes on");
        after = page.next;
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut spool = EventSpool::empty(7);
    let mut file = Vec::new();
    let mut files = Vec::new();
    for message in ["one", "two", "three"] {
        let one = Occurrence::new(EventKind::GpuXid, "0000:41:00.0", EventSeverity::Error, message).with_code("xid_79");
        spool.turn((UnixMillis(1), false), vec![one], None, || "5f2ae64e-fdb7-40c7-a94e-2da71ae54dc7".to_owned());
        spool.own("5f2ae64e-fdb7-40c7-a94e-2da71ae54dc7");
        spool.acknowledge("5f2ae64e-fdb7-40c7-a94e-2da71ae54dc7", 8, 8);
        while let Some(write) = spool.next_write() {
            match write {
                SpoolWrite::Append { bytes, .. } => file.extend(bytes),
                SpoolWrite::Whole(bytes) => file = bytes,
            }
            spool.written();
        }
        files.push(file.clone());
    }
    files
}
