//! The pods of the manifests as processes of this machine: what the kubelet does with a pod, as far
//! as a process can tell. Pods keep their ports; each has a loopback address of its own. Run as
//! root, it gives the processes the user and the volumes the owner that the manifests say.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use serde_json::Value;
use tenure_client::{Client, Health};
use tenure_tests::ports::loopback;
use tenure_tests::server_cluster::{Authority, Outcome, SOON, tenure_binary, until};
use tenure_tests::{Process, Scenario};

use super::checks::PROBES;
use super::files::{Files, Manifests, NAMESPACE, Pod, list, number, string};
use super::words::config_path;
use crate::{ensure, run_with_input, text};

/// What init showed.
pub struct Keys {
    shares: Vec<String>,
    root: String,
}

/// As whom the processes run, and whose the volumes are.
struct User {
    user: u32,
    group: u32,
    volumes: u32,
}

/// The pods.
pub struct Pods {
    manifests: Manifests,
    pods: Vec<Pod>,
    processes: Vec<Option<Process>>,
    /// User and groups, if this is root and can choose.
    user: Option<User>,
    binary: PathBuf,
    dir: PathBuf,
    logs: PathBuf,
    starts: usize,
}

/// The loopback address of a pod: no other test process has it (see `tenure_tests::ports`).
fn address(index: usize) -> IpAddr {
    match loopback() {
        IpAddr::V4(own) => {
            let [a, b, c, d] = own.octets();
            let quarter = [64, 128, 192][index % 3];
            IpAddr::V4(Ipv4Addr::new(a, quarter | (b & 63), c, d))
        }
        other => other,
    }
}

impl Pods {
    /// Fills their volumes and starts them all, as `podManagementPolicy: Parallel` does.
    pub fn start(scenario: &Scenario, files: &Files) -> Outcome<Self> {
        let manifests = Manifests::of(files)?;
        let pods: Outcome<Vec<Pod>> = (0..manifests.replicas()?)
            .map(|i| manifests.pod(i))
            .collect();
        let security = &manifests.template()["spec"]["securityContext"];
        let id = |key: &str| Ok::<_, String>(number(security, key)? as u32);
        let user = match rustix::process::geteuid().is_root() {
            true => Some(User {
                user: id("/runAsUser")?,
                group: id("/runAsGroup")?,
                volumes: id("/fsGroup")?,
            }),
            false => None,
        };
        let dir = scenario.dir().to_owned();
        // Another user must get through to the volumes, and to the program.
        fs::set_permissions(&dir, Permissions::from_mode(0o711)).map_err(text)?;
        let mut binary = tenure_binary()?;
        if user.is_some() {
            let copy = dir.join("tenure");
            fs::copy(&binary, &copy).map_err(text)?;
            binary = copy;
        }
        let pods = pods?;
        let mut all = Self {
            processes: pods.iter().map(|_| None).collect(),
            manifests,
            pods,
            user,
            binary,
            dir,
            logs: scenario.logs(),
            starts: 0,
        };
        let authority = Authority::new()?;
        for index in 0..all.len() {
            all.fill_volumes(index, &authority)?;
        }
        for index in 0..all.len() {
            all.launch(index)?;
        }
        Ok(all)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.pods.len()
    }

    fn folder(&self, index: usize) -> PathBuf {
        self.dir.join(&self.pods[index].name)
    }

    /// A text of the manifests with this machine's addresses and folders in place of the pod's.
    fn here(&self, index: usize, text: &str) -> Outcome<String> {
        let service = string(&self.manifests.set, "/spec/serviceName")?;
        let mut text = text.to_owned();
        for (other, pod) in self.pods.iter().enumerate() {
            let name = format!("{}.{service}", pod.name);
            for name in [format!("{name}.{NAMESPACE}.svc"), name] {
                text = text.replace(&name, &address(other).to_string());
            }
        }
        for own in ["[::]", "127.0.0.1"] {
            text = text.replace(own, &format!("<{own}>"));
        }
        for own in ["<[::]>", "<127.0.0.1>"] {
            text = text.replace(own, &address(index).to_string());
        }
        for (path, volume) in self.manifests.mounts()? {
            let folder = self.folder(index).join(volume);
            text = text.replace(&path.display().to_string(), &folder.display().to_string());
        }
        Ok(text)
    }

    /// What is in a pod's volumes before it starts: an empty claim, the secret, the config map.
    fn fill_volumes(&self, index: usize, authority: &Authority) -> Outcome<()> {
        for volume in self.manifests.mounts()?.into_values() {
            let folder = self.folder(index).join(volume);
            fs::create_dir_all(&folder).map_err(text)?;
            // As fsGroup leaves a volume: root's, and the group may write.
            self.own(&folder, 0o2770)?;
        }
        let secret = self.folder(index).join("tls");
        let made = self.folder(index).join("made");
        let (certificate, key) = authority.server(&made, address(index))?;
        fs::write(secret.join("ca.crt"), authority.pem()).map_err(text)?;
        fs::rename(certificate, secret.join("tls.crt")).map_err(text)?;
        fs::rename(key, secret.join("tls.key")).map_err(text)?;
        for file in ["ca.crt", "tls.crt", "tls.key"] {
            self.own(&secret.join(file), 0o440)?;
        }
        let config = config_path(&self.pods[index])?;
        let content = self.here(index, self.manifests.config_text(&config)?)?;
        let config = self.here(index, &config.display().to_string())?;
        fs::write(&config, content).map_err(text)?;
        self.own(Path::new(&config), 0o444)
    }

    fn own(&self, path: &Path, mode: u32) -> Outcome<()> {
        if let Some(user) = &self.user {
            chown(path, None, Some(user.volumes)).map_err(text)?;
        }
        fs::set_permissions(path, Permissions::from_mode(mode)).map_err(text)
    }

    /// A command with a pod's environment and user.
    fn command(&self, index: usize) -> Outcome<Command> {
        let mut command = Command::new(&self.binary);
        command.env_clear().current_dir("/");
        for (name, value) in &self.pods[index].environment {
            command.env(name, self.here(index, value)?);
        }
        if let Some(user) = &self.user {
            // The processes are given no further groups: the volumes' is their own one.
            command.uid(user.user).gid(user.group);
        }
        Ok(command)
    }

    /// Starts a pod's process.
    pub fn launch(&mut self, index: usize) -> Outcome<()> {
        let mut command = self.command(index)?;
        for word in &self.pods[index].arguments {
            command.arg(self.here(index, word)?);
        }
        self.starts += 1;
        let log = format!("{}.{}", self.pods[index].name, self.starts);
        let process = Process::spawn(command, &self.logs, &log).map_err(text)?;
        self.processes[index] = Some(process);
        Ok(())
    }

    /// SIGTERM, and as long as Kubernetes waits after it.
    pub fn stop(&mut self, index: usize) -> Outcome<ExitStatus> {
        let grace = number(
            self.manifests.template(),
            "/spec/terminationGracePeriodSeconds",
        )?;
        let pause = number(
            self.manifests.container(),
            "/lifecycle/preStop/sleep/seconds",
        )?;
        let process = self.processes[index].as_mut().ok_or("it doesn't run")?;
        process.terminate();
        process.wait_exit(Duration::from_secs(grace - pause))
    }

    /// Runs the command line in a pod, as `kubectl exec` does.
    pub fn tenure(
        &self,
        index: usize,
        words: &[&str],
        input: &str,
    ) -> Outcome<(Option<i32>, String)> {
        self.tenure_as(index, words, input, None)
    }

    fn tenure_as(
        &self,
        index: usize,
        words: &[&str],
        input: &str,
        token: Option<&str>,
    ) -> Outcome<(Option<i32>, String)> {
        let mut command = self.command(index)?;
        if let Some(token) = token {
            command.env("TENURE_TOKEN", token);
        }
        let ended = run_with_input(command.args(words), input)?;
        let mut said = String::from_utf8_lossy(&ended.stdout).into_owned();
        if !ended.status.success() {
            said.push_str(&String::from_utf8_lossy(&ended.stderr));
        }
        Ok((ended.status.code(), said))
    }

    /// Every port of the manifests has a listener, of the kind that its name says.
    pub async fn listen_where_the_manifests_say(&mut self) -> Outcome<()> {
        let ports = list(self.manifests.container(), "/ports").to_vec();
        for index in 0..self.len() {
            for port in &ports {
                let at = SocketAddr::new(address(index), number(port, "/containerPort")? as u16);
                until(&format!("{at} listens"), SOON, async || {
                    if let Some(process) = self.processes[index].as_mut()
                        && let Some(end) = process.exited()
                    {
                        return Ok(Err(format!("it ended: {end}\n{}", process.log_tail(20))));
                    }
                    TcpStream::connect(at).map(|_| Ok(()))
                })
                .await??;
                if port["name"] == "metrics" {
                    let metrics = get(at)?;
                    ensure(metrics.contains("tenure_unsealed"), || metrics)?;
                }
            }
        }
        Ok(())
    }

    /// Each probe of the manifests gets the answer that it waits for.
    pub async fn answer_probes(&self, index: usize, ready: bool) -> Outcome<()> {
        for (probe, _) in PROBES {
            let at = &self.manifests.container()[probe]["grpc"];
            let service = string(at, "/service")?;
            let url = format!("http://{}:{}", address(index), number(at, "/port")?);
            let client = Client::builder().address(url).build().map_err(text)?;
            let wanted = match probe == "readinessProbe" && !ready {
                true => Health::NotServing,
                false => Health::Serving,
            };
            let what = format!("{}: {probe} gets {wanted:?}", self.pods[index].name);
            until(&what, SOON, async || match client.health(service).await {
                Ok(health) if health == wanted => Ok(()),
                other => Err(format!("{other:?}")),
            })
            .await?;
        }
        Ok(())
    }

    /// Initialises the cluster in the first pod.
    pub fn init(&self) -> Outcome<Keys> {
        let (code, said) = self.tenure(0, &["operator", "init", "-format=json"], "")?;
        ensure(code == Some(0), || format!("init: {said}"))?;
        let made: Value = serde_json::from_str(&said).map_err(text)?;
        let shares = list(&made, "/unseal_keys_b64").iter();
        Ok(Keys {
            shares: shares
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            root: string(&made, "/root_token")?.to_owned(),
        })
    }

    /// Brings shares until a pod is open.
    pub async fn unseal(&self, index: usize, keys: &Keys) -> Outcome<()> {
        // A new node first has to find the cluster, by retry_join.
        until(&format!("pod {index} is unsealed"), SOON, async || {
            for share in &keys.shares[..3] {
                let (code, said) = self.tenure(index, &["operator", "unseal", "-"], share)?;
                ensure(code == Some(0), || said)?;
            }
            let (code, said) = self.tenure(index, &["status"], "")?;
            ensure(code == Some(0), || said)
        })
        .await
    }

    fn peers(&self, keys: &Keys) -> Outcome<Value> {
        let words = ["operator", "raft", "list-peers", "-format=json"];
        let (code, said) = self.tenure_as(0, &words, "", Some(&keys.root))?;
        ensure(code == Some(0), || said.clone())?;
        serde_json::from_str(&said).map_err(text)
    }

    /// The pod that is active.
    pub fn active(&self, keys: &Keys) -> Outcome<usize> {
        let peers = self.peers(keys)?;
        let mut all = list(&peers, "/data/config/servers").iter();
        let active = all
            .find(|peer| peer["active"] == true)
            .ok_or("none is active")?;
        let found = self
            .pods
            .iter()
            .position(|pod| active["node_id"] == *pod.name);
        found.ok_or_else(|| format!("{active} is no pod"))
    }

    /// Waits until the members are the pods, by their names, unsealed and with a vote.
    pub async fn are_all_voters(&self, keys: &Keys) -> Outcome<()> {
        until::<_, String>("all pods are voters", SOON, async || {
            let peers = self.peers(keys)?;
            let peers = list(&peers, "/data/config/servers");
            ensure(peers.len() == self.len(), || format!("{peers:?}"))?;
            for (index, pod) in self.pods.iter().enumerate() {
                let own = peers.iter().find(|peer| peer["node_id"] == *pod.name);
                let own = own.ok_or_else(|| format!("{} is no member", pod.name))?;
                let at = self.here(index, pod.variable("TENURE_CLUSTER_ADDR"))?;
                let right = own["voter"] == true
                    && own["sealed"] == false
                    && at == format!("https://{}", string(own, "/address")?);
                ensure(right, || own.to_string())?;
            }
            Ok(())
        })
        .await
    }
}

fn get(at: SocketAddr) -> Outcome<String> {
    let mut stream = TcpStream::connect(at).map_err(text)?;
    let wait = stream.set_read_timeout(Some(Duration::from_secs(5)));
    wait.map_err(text)?;
    let request = b"GET /metrics HTTP/1.1\r\nHost: tenure\r\nConnection: close\r\n\r\n";
    stream.write_all(request).map_err(text)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(text)?;
    Ok(answer)
}
