//! A web server in a service: asked to shut down, it answers what it has begun and takes nothing more.
#![cfg(not(shibuya_loom))]

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use shibuya_taskgroup::{OrCancelled, TaskGroup, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

/// One connection, which ends after the answer that it is at.
async fn connection(
    g: TaskGroup<io::Error>,
    stream: TcpStream,
    begun: mpsc::Sender<oneshot::Sender<()>>,
) -> io::Result<()> {
    let answer = service_fn(|_: Request<Incoming>| {
        let begun = begun.clone();
        async move {
            let (go_on, may_go_on) = oneshot::channel();
            begun.send(go_on).await.unwrap();
            may_go_on.await.unwrap();
            Ok::<_, Infallible>(Response::new(String::from("answered")))
        }
    });
    let mut connection = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = g.shutdown_requested() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    served.map_err(io::Error::other)
}

#[tokio::test]
async fn hyper_answers_what_it_has_begun() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (begun, mut has_begun) = mpsc::channel(1);
    let (shut, is_shut) = oneshot::channel::<()>();

    let client = tokio::spawn(async move {
        let mut stream = TcpStream::connect(at).await.unwrap();
        // Kept alive, so it is the server that ends it.
        let request = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    });

    let served = serve(Duration::from_secs(60))
        .on(is_shut)
        .run(async |g| {
            let asked = g.clone();
            g.spawn(async move {
                let go_on: oneshot::Sender<()> = has_begun.recv().await.unwrap();
                shut.send(()).unwrap();
                asked.shutdown_requested().await;
                go_on.send(()).unwrap();
                Ok(())
            });
            let mut asked = pin!(g.shutdown_requested());
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let (stream, _) = accepted?;
                        g.spawn(connection(g.clone(), stream, begun.clone()));
                    }
                    () = asked.as_mut() => return Ok(()),
                }
            }
        })
        .await;

    served.result.or_cancelled(()).unwrap();
    assert!(served.report.is_clean(), "{}", served.report);
    assert_eq!(served.report.finished(), 2);
    let answer = client.await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("answered"),
        "{answer}"
    );
}
