//! That a file which never answers costs what follows it, and nothing else.

use super::*;
use std::sync::mpsc;

#[test]
fn a_reader_that_hangs_is_given_up_and_named() {
    let (release, hold) = mpsc::channel::<()>();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut basket = Basket::default();
    runtime.block_on(async {
        let found = in_a_thread(move |tell| {
            tell.tell(BasketFile::Text { path: "first".to_owned(), bytes: b"1".to_vec() });
            tell.tell(BasketFile::Begin("/sys/hangs".to_owned()));
            let _released = hold.recv();
        });
        collect(found, &mut basket, "the test", Duration::from_millis(200)).await;
    });
    assert_eq!(basket.listed().len(), 1);
    assert!(basket.missed()[0].why.contains("/sys/hangs did not answer"), "{:?}", basket.missed());
    release.send(()).unwrap();
}
