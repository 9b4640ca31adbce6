//! Backups: a snapshot streamed out of any unsealed node, and restored by the active one. Who
//! may is decided in the pipeline like every call; what passes through here is ciphertext. A
//! restore changes nothing until its last entry.

mod keyring;
mod restore;
mod save;

pub use tenure_raft::backup::{Decoder, FormatError, Part, Summary};

pub use self::{
    restore::{File, restore, restore_here},
    save::{Frames, Saves, save},
};
