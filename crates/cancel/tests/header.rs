//! The header codec: never more time than there was, and nothing but its own form is read.
#![cfg(not(shibuya_loom))]

use std::time::Duration;

use proptest::prelude::*;
use shibuya_cancel::header::{
    GRPC_NAME, InvalidHeader, NAME, decode, decode_grpc, encode, encode_grpc, outgoing,
};
use shibuya_cancel::timeout;

const NANO: Duration = Duration::from_nanos(1);

/// What the unit at the end stands for.
fn unit(grpc: &str) -> Duration {
    decode_grpc(&format!("1{}", &grpc[grpc.len() - 1..])).unwrap()
}

/// All magnitudes alike, not only the huge ones.
fn durations() -> impl Strategy<Value = Duration> {
    (any::<u64>(), 0u32..64, 0u32..1_000_000_000)
        .prop_map(|(secs, shift, nanos)| Duration::new(secs >> shift, nanos))
}

proptest! {
    #[test]
    fn the_plain_form_loses_less_than_a_millisecond(d in durations()) {
        prop_assume!(d.as_millis() <= u128::from(u64::MAX));
        let read = decode(&encode(d)).unwrap();
        prop_assert!(read <= d && d - read < Duration::from_millis(1));
    }

    #[test]
    fn the_grpc_form_loses_less_than_its_unit(d in durations()) {
        let most = Duration::from_secs(99_999_999 * 3600);
        let text = encode_grpc(d);
        let read = decode_grpc(&text).unwrap();
        prop_assert!(text.len() <= 9, "{}", text);
        prop_assert!(read <= d);
        if d < most {
            prop_assert!(d - read < unit(&text), "{}", text);
            // A finer unit would not have fitted, so the loss is under one in 100,000.
            prop_assert!(d - read <= d / 100_000, "{}", text);
        } else {
            prop_assert_eq!(read, most);
        }
    }

    #[test]
    fn what_is_read_is_written_alike(ms: u64, count in 0u64..100_000_000, at in 0usize..6) {
        prop_assert_eq!(encode(decode(&ms.to_string()).unwrap()), ms.to_string());
        let text = format!("{count}{}", ["n", "u", "m", "S", "M", "H"][at]);
        let read = decode_grpc(&text).unwrap();
        prop_assert_eq!(decode_grpc(&encode_grpc(read)).unwrap(), read);
    }

    #[test]
    fn no_text_panics(text: String) {
        let _ = (decode(&text), decode_grpc(&text));
    }

    #[test]
    fn near_misses_do_not_panic(text in "[ +-]?[0-9]{0,12}[HMSmunh é]?") {
        let _ = (decode(&text), decode_grpc(&text));
    }
}

#[test]
fn the_ends_of_the_range() {
    assert_eq!(encode(Duration::ZERO), "0");
    assert_eq!(encode(Duration::from_millis(1) - NANO), "0");
    assert_eq!(encode(Duration::MAX), u64::MAX.to_string());
    assert_eq!(
        decode("99999999999999999999999"),
        Ok(Duration::from_millis(u64::MAX))
    );
    assert_eq!(
        decode("000000000000000000000000007"),
        Ok(Duration::from_millis(7))
    );
    assert_eq!(decode(" \t1500 "), Ok(Duration::from_millis(1500)));
    assert_eq!(encode_grpc(Duration::ZERO), "0n");
    assert_eq!(encode_grpc(Duration::from_nanos(99_999_999)), "99999999n");
    assert_eq!(encode_grpc(Duration::from_nanos(100_000_000)), "100000u");
    assert_eq!(encode_grpc(Duration::MAX), "99999999H");
    assert_eq!(
        decode_grpc("99999999H"),
        Ok(Duration::from_secs(99_999_999 * 3600))
    );
}

#[test]
fn each_unit_means_what_grpc_says() {
    let units = [("1H", 3600), ("1M", 60), ("1S", 1)];
    for (text, secs) in units {
        assert_eq!(decode_grpc(text), Ok(Duration::from_secs(secs)));
    }
    assert_eq!(decode_grpc("1m"), Ok(Duration::from_millis(1)));
    assert_eq!(decode_grpc("1u"), Ok(Duration::from_micros(1)));
    assert_eq!(decode_grpc("1n"), Ok(NANO));
    assert_eq!(decode_grpc("00000001S"), Ok(Duration::from_secs(1)));
}

#[test]
fn malformed_values_are_refused() {
    let plain = [
        "", " ", "\t", "+1", "-1", "1 2", "1.5", "1e3", "0x10", "1500m", "1_000", "١٢", "１２",
        "1\n", "\u{a0}1", "NaN", "é",
    ];
    for text in plain {
        assert_eq!(decode(text), Err(InvalidHeader::Plain), "{text:?}");
    }
    let grpc = [
        "",
        "m",
        "n",
        "1",
        "15",
        "+1m",
        "-1m",
        " 1m",
        "1m ",
        "1 m",
        "1h",
        "1s",
        "1ms",
        "1mm",
        "1.5S",
        "123456789m",
        "000000001S",
        "1µ",
        "١m",
        "１m",
        "m1",
        "1\0",
        "é",
        "1é",
        "99999999999999999999H",
    ];
    for text in grpc {
        assert_eq!(decode_grpc(text), Err(InvalidHeader::Grpc), "{text:?}");
    }
    assert!(InvalidHeader::Plain.to_string().contains("`1500`"));
    assert!(InvalidHeader::Grpc.to_string().contains("`1500m`"));
}

#[tokio::test(start_paused = true)]
async fn what_is_left_goes_along() {
    assert_eq!((NAME, GRPC_NAME), ("x-remaining-ms", "grpc-timeout"));
    assert_eq!(outgoing(), None);
    let there = timeout(Duration::from_millis(1500), async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        outgoing().unwrap()
    });
    let left = there.await.unwrap();
    assert_eq!(
        (encode(left), encode_grpc(left)),
        ("1100".into(), "1100000u".into())
    );
}
