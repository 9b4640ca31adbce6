//! What a stranger could learn by the clock: answers to who has no right take as long for what is
//! there as for what isn't.

use std::time::{Duration, Instant};

use prost::Message;
use prost::bytes::Bytes;
use tenure_client::proto::{LookupAccessorRequest, MountRequest, ReadRequest, WriteRequest};
use tenure_tests::server_cluster::{Outcome, ServerOptions};
use tenure_tests::{Random, scale};
use tonic::transport::Channel;

use crate::{ensure, make, raw, run, start, text, wish};

/// Calls of each kind in one look, at scale 1.
const SAMPLES: usize = 2_000;
/// A pair is told apart when each of so many looks says so: by chance that is once in 10⁶.
const LOOKS: usize = 3;
/// |z| of the rank test beyond which a look says that times differ: p < 0.01.
const Z_MAX: f64 = 2.576;

/// Two calls that only differ in whether their object is there.
struct Pair {
    what: &'static str,
    method: &'static str,
    there: Bytes,
    absent: Bytes,
}

/// G19. It found that a write by who may not write looked first whether the path is there, and
/// opened it if it was: |z| was 40 three times.
#[test]
fn times_do_not_tell_what_is_there() {
    run(
        "timing::times_do_not_tell_what_is_there",
        async |scenario| {
            let cluster = start(scenario, ServerOptions::new(1)?).await?;
            let client = cluster.client()?;
            let mount = MountRequest {
                path: "known".to_owned(),
                r#type: "kv".to_owned(),
                ..MountRequest::default()
            };
            client.mount(mount).await.map_err(text)?;
            let data = format!(r#"{{"k":"{}"}}"#, "v".repeat(50_000));
            let secret = write("known/aaaaaaaa", &data);
            client.write(secret).await.map_err(text)?;
            let (_, accessor) = make(&client, wish("somebody")).await?;
            let (stranger, _) = make(&client, wish("stranger")).await?;

            let channel = raw::channel(&cluster, 0)?;
            let mut random = Random::new(scenario.seed);
            for pair in pairs(&accessor) {
                let mut scores = Vec::new();
                for _ in 0..LOOKS {
                    let token = stranger.expose();
                    let (there, absent) = look(&channel, token, &pair, &mut random).await?;
                    scores.push(rank_score(&there, &absent));
                    if scores.last().is_some_and(|z: &f64| z.abs() <= Z_MAX) {
                        break;
                    }
                }
                scenario.say(format!("{}: z = {scores:.2?}", pair.what));
                let same_sign = scores.iter().all(|z| *z > 0.0) || scores.iter().all(|z| *z < 0.0);
                let told = scores.len() == LOOKS && scores.iter().all(|z| z.abs() > Z_MAX);
                ensure(!(told && same_sign), || {
                    format!("{}: times tell what is there: z = {scores:.2?}", pair.what)
                })?;
            }
            Ok(())
        },
    );
}

fn write(path: &str, data: &str) -> WriteRequest {
    WriteRequest {
        path: path.to_owned(),
        data: data.as_bytes().to_vec(),
        ..WriteRequest::default()
    }
}

fn pairs(accessor: &str) -> Vec<Pair> {
    let read = |path: &str| ReadRequest {
        path: path.to_owned(),
        ..ReadRequest::default()
    };
    let lookup = |accessor: &str| LookupAccessorRequest {
        accessor: accessor.to_owned(),
    };
    const READ: &str = "/tenure.v1.SecretsService/Read";
    const WRITE: &str = "/tenure.v1.SecretsService/Write";
    const LOOKUP: &str = "/tenure.v1.TokenService/LookupAccessor";
    let (there, absent) = (read("known/aaaaaaaa"), read("known/bbbbbbbb"));
    let elsewhere = read("other/aaaaaaaa");
    vec![
        pair("a secret, read", READ, &there, &absent),
        pair("a mount, read", READ, &there, &elsewhere),
        pair(
            "a secret, written",
            WRITE,
            &write("known/aaaaaaaa", "{}"),
            &write("known/bbbbbbbb", "{}"),
        ),
        pair(
            "an accessor",
            LOOKUP,
            &lookup(accessor),
            &lookup(&"x".repeat(accessor.len())),
        ),
    ]
}

fn pair<M: Message>(what: &'static str, method: &'static str, there: &M, absent: &M) -> Pair {
    Pair {
        what,
        method,
        there: there.encode_to_vec().into(),
        absent: absent.encode_to_vec().into(),
    }
}

/// Times of both, in random order, over one connection.
async fn look(
    channel: &Channel,
    token: &str,
    pair: &Pair,
    random: &mut Random,
) -> Outcome<(Vec<Duration>, Vec<Duration>)> {
    let (mut there, mut absent) = (Vec::new(), Vec::new());
    let samples = SAMPLES * scale();
    while there.len() < samples || absent.len() < samples {
        let is_there = random.below(2) == 0;
        let message = if is_there { &pair.there } else { &pair.absent };
        let began = Instant::now();
        let answer = raw::call(channel, pair.method, message.clone(), Some(token)).await;
        let took = began.elapsed();
        let code = answer.err().map(|status| status.code());
        ensure(code == Some(tonic::Code::PermissionDenied), || {
            format!("{}: {code:?}", pair.what)
        })?;
        if is_there {
            there.push(took);
        } else {
            absent.push(took);
        }
    }
    Ok((there, absent))
}

/// The Mann-Whitney test as a z-score: how far the ranks of the two are from those of one mixed
/// bag. Equal times are rare, so that ties need no correction.
fn rank_score(one: &[Duration], other: &[Duration]) -> f64 {
    let mut all: Vec<(Duration, bool)> = (one.iter().map(|took| (*took, true)))
        .chain(other.iter().map(|took| (*took, false)))
        .collect();
    all.sort();
    let ranks: f64 = (1u32..)
        .zip(&all)
        .filter(|(_, (_, is_one))| *is_one)
        .map(|(rank, _)| f64::from(rank))
        .sum();
    let count = |times: &[Duration]| f64::from(u32::try_from(times.len()).unwrap_or(u32::MAX));
    let (n, m) = (count(one), count(other));
    let mean = n * (n + m + 1.0) / 2.0;
    let deviation = (n * m * (n + m + 1.0) / 12.0).sqrt();
    (ranks - mean) / deviation
}
