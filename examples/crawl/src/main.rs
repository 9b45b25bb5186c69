//! `crawl [URL]`: see `crawl --help`, or the README.

#![forbid(unsafe_code)]

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use crawl::args::Args;
use crawl::crawl::{Options, crawl};
use crawl::progress::Progress;
use crawl::report::Report;
use crawl::site::Site;
use crawl::tree::Tree;
use tokio::signal::ctrl_c;
use tokio::sync::oneshot;

const BROKEN: u8 = 1;
const UNREACHABLE: u8 = 2;
/// What shells say of a program that Ctrl-C ended.
const KILLED: i32 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse(); // wrong usage exits 2
    match run(&args).await {
        Ok(status) => status,
        Err(error) => {
            eprintln!("crawl: {error}");
            ExitCode::from(UNREACHABLE)
        }
    }
}

async fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    match &args.url {
        Some(url) => {
            let report = check(args, &args.options(url.clone())).await?;
            print(&report, args.json)?;
            Ok(exit_status(&report))
        }
        None if args.serve => serve().await,
        None => demo(args).await,
    }
}

async fn check(args: &Args, options: &Options) -> Result<Report, Box<dyn Error>> {
    let progress = Progress::on_stderr();
    let crawl = crawl(options, &progress, interrupted());
    if !args.tree {
        return Ok(crawl.await?);
    }
    let tree = Tree::listen(&progress)?; // before the first request is sent
    tokio::select! {
        report = crawl => Ok(report?),
        () = tree.print() => unreachable!("it prints for as long as it is polled"),
    }
}

/// Serves the demo site and checks it; that it has broken links is no failure.
async fn demo(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let site = Site::bind().await?;
    let options = args.options(site.url());
    if !args.json {
        println!(
            "No URL given: checking the demo site on {}\n",
            options.start
        );
    }
    let report = tokio::select! {
        report = check(args, &options) => report?,
        Err(error) = site.serve() => return Err(error.into()),
    };
    print(&report, args.json)?;
    Ok(ExitCode::SUCCESS)
}

async fn serve() -> Result<ExitCode, Box<dyn Error>> {
    let site = Site::bind().await?;
    println!("{}", site.url());
    tokio::select! {
        () = interrupted() => Ok(ExitCode::SUCCESS),
        Err(error) = site.serve() => Err(error.into()),
    }
}

/// The first Ctrl-C, after which the crawl has time to drain. A second one ends it at once.
async fn interrupted() {
    if ctrl_c().await.is_err() {
        return std::future::pending().await; // there are no signals here
    }
    let (listening, ready) = oneshot::channel();
    tokio::spawn(async {
        let (again, _) = tokio::join!(biased; ctrl_c(), async { listening.send(()) });
        if again.is_ok() {
            std::process::exit(KILLED);
        }
    });
    // Who is told of the first may be sure that a second one counts.
    let _ = ready.await;
}

fn print(report: &Report, json: bool) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, report)?;
        writeln!(out)?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(out.flush()?)
}

fn exit_status(report: &Report) -> ExitCode {
    if let Some(error) = report.unreachable() {
        eprintln!("crawl: cannot reach {}: {error}", report.start);
        return ExitCode::from(UNREACHABLE);
    }
    if report.broken.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(BROKEN)
    }
}
