//! `crawl [URL]`: see `crawl --help`, or the README.

#![forbid(unsafe_code)]

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use crawl::args::Args;
use crawl::crawl::{Options, crawl};
use crawl::progress::Progress;
use crawl::report::Report;
use crawl::site::Site;
use tokio::signal::ctrl_c;

const BROKEN: u8 = 1;
const UNREACHABLE: u8 = 2;

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
            let report = check(&args.options(url.clone())).await?;
            print(&report, args.json)?;
            Ok(exit_status(&report))
        }
        None if args.serve => serve().await,
        None => demo(args).await,
    }
}

async fn check(options: &Options) -> Result<Report, reqwest::Error> {
    crawl(options, &Progress::on_stderr(), interrupted()).await
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
        report = check(&options) => report?,
        never = site.serve() => match never {},
    };
    print(&report, args.json)?;
    Ok(ExitCode::SUCCESS)
}

async fn serve() -> Result<ExitCode, Box<dyn Error>> {
    let site = Site::bind().await?;
    println!("{}", site.url());
    tokio::select! {
        () = interrupted() => Ok(ExitCode::SUCCESS),
        never = site.serve() => match never {},
    }
}

/// The first Ctrl-C. The crawl is given time to drain; a second one ends it at once.
async fn interrupted() {
    if ctrl_c().await.is_err() {
        return std::future::pending().await; // there are no signals here
    }
    tokio::spawn(async {
        let say = async {
            eprintln!("crawl: interrupted, finishing what is under way (Ctrl-C again to quit)")
        };
        // Listens before it speaks.
        let (again, ()) = tokio::join!(biased; ctrl_c(), say);
        if again.is_ok() {
            std::process::exit(130);
        }
    });
}

fn print(report: &Report, json: bool) -> Result<(), Box<dyn Error>> {
    if json {
        println!("{}", serde_json::to_string(report)?);
    } else {
        print!("{report}");
    }
    Ok(())
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
