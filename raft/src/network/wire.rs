//! The requests and answers of `RaftService` to and from openraft's. Built on `codec`; pure.

use openraft::raft::{
    AppendEntriesRequest, SnapshotResponse, StreamAppendError, StreamAppendResult,
    TransferLeaderError, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use tenure_proto::internal::{self, append_response};

use crate::{
    codec::{
        CodecError, entry_from_proto, entry_to_proto, log_id_from_proto, log_id_to_proto,
        vote_from_proto, vote_to_proto,
    },
    types::{LogId, TypeConfig, Vote},
};

fn vote(vote: Option<&internal::Vote>) -> Result<Vote, CodecError> {
    vote.map(vote_from_proto)
        .ok_or(CodecError::Missing { what: "vote" })
}

fn log_id(id: &Option<internal::LogId>) -> Option<LogId> {
    id.as_ref().map(log_id_from_proto)
}

pub(crate) fn vote_request_to_proto(rpc: &VoteRequest<TypeConfig>) -> internal::VoteRequest {
    internal::VoteRequest {
        vote: Some(vote_to_proto(&rpc.vote)),
        last_log_id: rpc.last_log_id.as_ref().map(log_id_to_proto),
        leadership_transfer: rpc.leadership_transfer,
    }
}

pub(crate) fn vote_request_from_proto(
    rpc: &internal::VoteRequest,
) -> Result<VoteRequest<TypeConfig>, CodecError> {
    let mut request = VoteRequest::new(vote(rpc.vote.as_ref())?, log_id(&rpc.last_log_id));
    request.leadership_transfer = rpc.leadership_transfer;
    Ok(request)
}

pub(crate) fn vote_response_to_proto(
    response: &VoteResponse<TypeConfig>,
) -> internal::VoteResponse {
    internal::VoteResponse {
        vote: Some(vote_to_proto(&response.vote)),
        granted: response.vote_granted,
        last_log_id: response.last_log_id.as_ref().map(log_id_to_proto),
    }
}

pub(crate) fn vote_response_from_proto(
    response: &internal::VoteResponse,
) -> Result<VoteResponse<TypeConfig>, CodecError> {
    Ok(VoteResponse {
        vote: vote(response.vote.as_ref())?,
        vote_granted: response.granted,
        last_log_id: log_id(&response.last_log_id),
    })
}

pub(crate) fn append_request_to_proto(
    rpc: &AppendEntriesRequest<TypeConfig>,
) -> internal::AppendRequest {
    internal::AppendRequest {
        vote: Some(vote_to_proto(&rpc.vote)),
        prev_log_id: rpc.prev_log_id.as_ref().map(log_id_to_proto),
        entries: rpc.entries.iter().map(entry_to_proto).collect(),
        leader_commit: rpc.leader_commit.as_ref().map(log_id_to_proto),
    }
}

/// Besides decoding, makes sure that the entries follow one another without a gap:
/// openraft takes that for granted.
pub(crate) fn append_request_from_proto(
    rpc: internal::AppendRequest,
) -> Result<AppendEntriesRequest<TypeConfig>, CodecError> {
    let prev_log_id = log_id(&rpc.prev_log_id);
    let entries = rpc
        .entries
        .into_iter()
        .map(entry_from_proto)
        .collect::<Result<Vec<_>, _>>()?;
    let mut last = prev_log_id;
    for entry in &entries {
        let follows = match &last {
            Some(last) => {
                entry.log_id.index().checked_sub(1) == Some(last.index()) && entry.log_id > *last
            }
            None => entry.log_id.index() == 0,
        };
        if !follows {
            return Err(CodecError::Missing {
                what: "an entry between two entries of an append request",
            });
        }
        last = Some(entry.log_id);
    }
    Ok(AppendEntriesRequest {
        vote: vote(rpc.vote.as_ref())?,
        prev_log_id,
        entries,
        leader_commit: log_id(&rpc.leader_commit),
    })
}

pub(crate) fn append_response_to_proto(
    result: &StreamAppendResult<TypeConfig>,
) -> internal::AppendResponse {
    use append_response::Result as Wire;
    let result = match result {
        Ok(matching) => Wire::Success(internal::PartialSuccess {
            last_log_id: matching.as_ref().map(log_id_to_proto),
        }),
        Err(StreamAppendError::Conflict(at)) => Wire::Conflict(log_id_to_proto(at)),
        Err(StreamAppendError::HigherVote(vote)) => Wire::HigherVote(vote_to_proto(vote)),
    };
    internal::AppendResponse {
        result: Some(result),
    }
}

pub(crate) fn append_response_from_proto(
    response: &internal::AppendResponse,
) -> Result<StreamAppendResult<TypeConfig>, CodecError> {
    use append_response::Result as Wire;
    match &response.result {
        Some(Wire::Success(success)) => Ok(Ok(log_id(&success.last_log_id))),
        Some(Wire::Conflict(at)) => Ok(Err(StreamAppendError::Conflict(log_id_from_proto(at)))),
        Some(Wire::HigherVote(vote)) => {
            Ok(Err(StreamAppendError::HigherVote(vote_from_proto(vote))))
        }
        Some(Wire::PlainConflict(_)) | None => Err(CodecError::Missing {
            what: "result of an append request",
        }),
    }
}

pub(crate) fn transfer_request_to_proto(
    rpc: &TransferLeaderRequest<TypeConfig>,
) -> internal::TransferLeaderRequest {
    internal::TransferLeaderRequest {
        from_leader: Some(vote_to_proto(rpc.from_leader())),
        to_node_id: *rpc.to_node_id(),
        last_log_id: rpc.last_log_id().map(log_id_to_proto),
    }
}

pub(crate) fn transfer_request_from_proto(
    rpc: &internal::TransferLeaderRequest,
) -> Result<TransferLeaderRequest<TypeConfig>, CodecError> {
    Ok(TransferLeaderRequest::new(
        vote(rpc.from_leader.as_ref())?,
        rpc.to_node_id,
        log_id(&rpc.last_log_id),
    ))
}

pub(crate) fn transfer_response_to_proto(
    response: &TransferLeaderResponse<TypeConfig>,
) -> internal::TransferLeaderResponse {
    internal::TransferLeaderResponse {
        accepted: response.is_ok(),
        reason: response
            .as_ref()
            .err()
            .map(ToString::to_string)
            .unwrap_or_default(),
    }
}

/// A refusal travels as text; openraft uses it for its log alone, so one kind stands for
/// all.
pub(crate) fn transfer_response_from_proto(
    response: &internal::TransferLeaderResponse,
    request: &TransferLeaderRequest<TypeConfig>,
) -> TransferLeaderResponse<TypeConfig> {
    if response.accepted {
        return Ok(());
    }
    tracing::info!(
        target = request.to_node_id(),
        reason = response.reason,
        "a node refused a transfer of leadership"
    );
    Err(TransferLeaderError::LogNotFlushed {
        expected: request.last_log_id().copied(),
        actual: None,
    })
}

pub(crate) fn snapshot_response_to_proto(vote: &Vote) -> internal::SnapshotResponse {
    internal::SnapshotResponse {
        vote: Some(vote_to_proto(vote)),
    }
}

pub(crate) fn snapshot_response_from_proto(
    response: &internal::SnapshotResponse,
) -> Result<SnapshotResponse<TypeConfig>, CodecError> {
    vote(response.vote.as_ref()).map(SnapshotResponse::new)
}
