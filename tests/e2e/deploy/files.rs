//! The files of `deploy/`: their texts, and the manifests in them as Kubernetes reads them. Says
//! what is written, and judges nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tenure_tests::server_cluster::Outcome;

use crate::text;

/// Namespace that the tests put the manifests into; they name none themselves.
pub const NAMESPACE: &str = "prod";

/// The folder of the repository.
pub fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_owned()
}

/// Texts by their paths in the repository. Held apart from the disk, so that a test can plant a
/// mistake.
#[derive(Clone)]
pub struct Files(BTreeMap<String, String>);

impl Files {
    /// All files of `deploy/`, and what the image is built by.
    pub fn read() -> Outcome<Self> {
        let mut files = BTreeMap::new();
        for folder in ["deploy", "deploy/kubernetes"] {
            for entry in fs::read_dir(repository().join(folder)).map_err(text)? {
                let path = entry.map_err(text)?.path();
                if let (true, Some(name)) = (path.is_file(), path.file_name()) {
                    let name = format!("{folder}/{}", name.to_string_lossy());
                    files.insert(name, fs::read_to_string(&path).map_err(text)?);
                }
            }
        }
        for name in [".dockerignore", ".ci/setup"] {
            let read = fs::read_to_string(repository().join(name)).map_err(text)?;
            files.insert(name.to_owned(), read);
        }
        Ok(Self(files))
    }

    /// The same with one passage replaced, which has to be there.
    pub fn planted(&self, file: &str, from: &str, to: &str) -> Outcome<Self> {
        let before = self.get(file)?;
        if !before.contains(from) {
            return Err(format!("{file} doesn't hold {from:?}"));
        }
        let mut files = self.clone();
        files.0.insert(file.to_owned(), before.replace(from, to));
        Ok(files)
    }

    /// A file's text.
    pub fn get(&self, file: &str) -> Outcome<&str> {
        let text = self.0.get(file).map(String::as_str);
        text.ok_or_else(|| format!("there is no {file}"))
    }

    /// Every document of the manifests.
    pub fn documents(&self) -> Outcome<Vec<Value>> {
        let mut documents = Vec::new();
        for (name, text) in &self.0 {
            if name.ends_with(".yaml") {
                let read: Vec<Value> =
                    serde_saphyr::from_multiple(text).map_err(|e| format!("{name}: {e}"))?;
                documents.extend(read);
            }
        }
        Ok(documents)
    }
}

/// The string at a JSON pointer.
pub fn string<'a>(value: &'a Value, pointer: &str) -> Outcome<&'a str> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.ok_or_else(|| format!("there is no text at {pointer}"))
}

/// The number at a JSON pointer.
pub fn number(value: &Value, pointer: &str) -> Outcome<u64> {
    let found = value.pointer(pointer).and_then(Value::as_u64);
    found.ok_or_else(|| format!("there is no number at {pointer}"))
}

/// The list at a JSON pointer; empty where there is none.
pub fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    let found = value.pointer(pointer).and_then(Value::as_array);
    found.map_or(&[], Vec::as_slice)
}

/// The manifests, with the stateful set at hand.
pub struct Manifests {
    documents: Vec<Value>,
    /// The stateful set.
    pub set: Value,
}

impl Manifests {
    /// Reads them.
    pub fn of(files: &Files) -> Outcome<Self> {
        let documents = files.documents()?;
        let mut sets = documents.iter().filter(|one| one["kind"] == "StatefulSet");
        match (sets.next().cloned(), sets.next()) {
            (Some(set), None) => Ok(Self { documents, set }),
            _ => Err("there is not one StatefulSet".to_owned()),
        }
    }

    /// All of a kind.
    pub fn kind<'a>(&'a self, kind: &str) -> impl Iterator<Item = &'a Value> {
        self.documents.iter().filter(move |one| one["kind"] == kind)
    }

    /// The one of a kind and a name.
    pub fn one(&self, kind: &str, name: &str) -> Outcome<&Value> {
        let found = self.kind(kind).find(|one| one["metadata"]["name"] == name);
        found.ok_or_else(|| format!("there is no {kind} {name}"))
    }

    /// What every pod is made from.
    pub fn template(&self) -> &Value {
        &self.set["spec"]["template"]
    }

    /// Its only container.
    pub fn container(&self) -> &Value {
        &self.template()["spec"]["containers"][0]
    }

    /// How many pods there are.
    pub fn replicas(&self) -> Outcome<u64> {
        number(&self.set, "/spec/replicas")
    }

    /// The pod of an ordinal, as the controller and the kubelet make it.
    pub fn pod(&self, ordinal: u64) -> Outcome<Pod> {
        let name = format!("{}-{ordinal}", string(&self.set, "/metadata/name")?);
        let mut environment: Vec<(String, String)> = Vec::new();
        for variable in list(self.container(), "/env") {
            let key = string(variable, "/name")?.to_owned();
            let value = match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
                Some("metadata.name") => name.clone(),
                Some("metadata.namespace") => NAMESPACE.to_owned(),
                Some(other) => return Err(format!("{key}: {other} is not known here")),
                // $(NAME) stands for variables that were set before it.
                None => environment
                    .iter()
                    .fold(string(variable, "/value")?.to_owned(), |value, (k, v)| {
                        value.replace(&format!("$({k})"), v)
                    }),
            };
            environment.push((key, value));
        }
        let words = list(self.container(), "/args").iter();
        let arguments = words.filter_map(Value::as_str).map(str::to_owned).collect();
        Ok(Pod {
            name,
            arguments,
            environment,
        })
    }

    /// Where a volume is mounted: its name by its folder.
    pub fn mounts(&self) -> Outcome<BTreeMap<PathBuf, String>> {
        let mounts = list(self.container(), "/volumeMounts").iter();
        mounts
            .map(|mount| {
                let path = PathBuf::from(string(mount, "/mountPath")?);
                Ok((path, string(mount, "/name")?.to_owned()))
            })
            .collect()
    }

    /// The volume that a path is in, and the rest of the path.
    pub fn volume_of(&self, path: &Path) -> Outcome<(String, PathBuf)> {
        for (folder, volume) in self.mounts()? {
            if let Ok(rest) = path.strip_prefix(&folder) {
                return Ok((volume, rest.to_owned()));
            }
        }
        Err(format!("no volume is mounted at {}", path.display()))
    }

    /// A volume of the pod that isn't made from a claim.
    pub fn volume(&self, name: &str) -> Outcome<&Value> {
        let volumes = list(self.template(), "/spec/volumes");
        let found = volumes.iter().find(|volume| volume["name"] == name);
        found.ok_or_else(|| format!("there is no volume {name}"))
    }

    /// The text of a file that a volume gets from a config map.
    pub fn config_text(&self, path: &Path) -> Outcome<&str> {
        let (volume, file) = self.volume_of(path)?;
        let map = string(self.volume(&volume)?, "/configMap/name")?;
        let data = &self.one("ConfigMap", map)?["data"];
        let found = data[file.to_string_lossy().as_ref()].as_str();
        found.ok_or_else(|| format!("ConfigMap {map} holds no {}", file.display()))
    }
}

/// One pod: what its process is started with.
pub struct Pod {
    /// Its name, which is its host name.
    pub name: String,
    /// The words after the image's entry point.
    pub arguments: Vec<String>,
    /// Its environment.
    pub environment: Vec<(String, String)>,
}

impl Pod {
    /// A variable of its environment; empty if it isn't set.
    pub fn variable(&self, name: &str) -> &str {
        let found = self.environment.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }
}
