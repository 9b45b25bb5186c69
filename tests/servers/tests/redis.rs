//! The fixture itself: it does what its tests will rely on.
#![cfg(unix)]

use std::env;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use servers::Redis;

fn is_up(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

#[test]
fn it_answers_as_soon_as_it_has_started_and_is_gone_when_dropped() {
    let Some(redis) = Redis::start() else { return };
    assert_eq!(redis.command(&["SET", "key", "value"]).unwrap(), "OK");
    assert_eq!(redis.command(&["GET", "key"]).unwrap(), "value");
    assert!(redis.command(&["INCR", "key"]).is_err());
    let (address, folder) = (redis.address(), redis.folder().to_owned());
    assert!(folder.exists());
    drop(redis);
    assert!(!is_up(address) && !folder.exists());
}

#[test]
fn two_are_apart() {
    let Some((one, other)) = Redis::start().zip(Redis::start()) else {
        return;
    };
    one.command(&["SET", "key", "value"]).unwrap();
    assert_eq!(other.command(&["GET", "key"]).unwrap(), "");
}

#[test]
fn a_restart_keeps_the_port_and_forgets_unless_it_is_durable() {
    for (redis, is_durable) in [(Redis::start(), false), (Redis::start_durable(), true)] {
        let Some(mut redis) = redis else { return };
        let (address, id) = (redis.address(), redis.process_id());
        redis.command(&["SET", "key", "value"]).unwrap();
        redis.kill();
        assert!(!is_up(address) && redis.process_id().is_none());
        assert!(redis.folder().exists());
        redis.restart();
        assert_eq!(redis.address(), address);
        assert_ne!(redis.process_id(), id);
        let kept = redis.command(&["GET", "key"]).unwrap() == "value";
        assert_eq!(kept, is_durable);
    }
}

#[test]
fn paused_it_takes_connections_and_answers_later() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    redis.pause();
    let mut client = TcpStream::connect(redis.address()).unwrap();
    client.write_all(b"PING\r\n").unwrap();
    let mut answer = [0; 7];
    client
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    let silence = client.read(&mut answer).unwrap_err();
    assert_eq!(silence.kind(), ErrorKind::WouldBlock);
    redis.resume();
    client.set_read_timeout(None).unwrap();
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+PONG\r\n");
}

#[test]
fn a_paused_one_can_be_dropped() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    redis.pause();
    let address = redis.address();
    drop(redis);
    assert!(!is_up(address));
}

const HOLDER: &str = "SHIBUYA_SERVERS_HOLDER";

/// What the next test runs in a process of its own.
#[test]
fn holder() {
    if env::var_os(HOLDER).is_none() {
        return;
    }
    let redis = Redis::start().expect("the other has one");
    println!("{} {}", redis.address(), redis.folder().display());
    sleep(Duration::from_secs(3600));
}

#[test]
fn it_does_not_outlive_a_process_that_was_killed_hard() {
    if Redis::start().is_none() {
        return;
    }
    let mut holder = Command::new(env::current_exe().unwrap())
        .args(["holder", "--exact", "--nocapture"])
        .env(HOLDER, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    let told = |line: String| {
        let (address, folder) = line.rsplit_once(' ')?;
        let address = address.rsplit(' ').next()?;
        Some((address.parse::<SocketAddr>().ok()?, folder.to_owned()))
    };
    let (address, folder) = lines.map_while(Result::ok).find_map(told).unwrap();
    assert!(is_up(address) && Path::new(&folder).exists());
    holder.kill().unwrap();
    holder.wait().unwrap();
    let began = Instant::now();
    while is_up(address) || Path::new(&folder).exists() {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "it is still there"
        );
        sleep(Duration::from_millis(1));
    }
}
