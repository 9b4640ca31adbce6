//! Every call of the pipeline, in one list. What stands here may be forwarded by a standby and is
//! served over HTTP by the routes that it names: a new call is added once.

/// Hands the list to `$with!`.
macro_rules! calls {
    ($with:ident) => {
        $with! {
            v1::CreateTokenRequest,
            v1::LookupTokenRequest,
            v1::LookupSelfRequest,
            v1::LookupAccessorRequest,
            v1::RenewTokenRequest,
            v1::RenewSelfRequest,
            v1::RenewAccessorRequest,
            v1::RevokeTokenRequest,
            v1::RevokeSelfRequest,
            v1::RevokeOrphanRequest,
            v1::RevokeAccessorRequest,
            v1::ListAccessorsRequest,
            v1::GrantLeaseRequest,
            v1::LookupLeaseRequest,
            v1::RenewLeaseRequest,
            v1::RevokeLeaseRequest,
            v1::RevokePrefixRequest,
            v1::ListLeasesRequest,
            v1::CountLeasesRequest,
            v1::WritePolicyRequest,
            v1::ReadPolicyRequest,
            v1::ListPoliciesRequest,
            v1::DeletePolicyRequest,
            v1::GetCapabilitiesRequest,
            v1::ReadRequest,
            v1::WriteRequest,
            v1::PatchRequest,
            v1::ListRequest,
            v1::DeleteRequest,
            v1::MountRequest,
            v1::UnmountRequest,
            v1::TuneMountRequest,
            v1::RemountRequest,
            v1::ListMountsRequest,
            v1::GetMountRequest,
            v1::GetClusterStatusRequest,
            v1::CreateJoinTokenRequest,
            v1::RemovePeerRequest,
            v1::StepDownRequest,
            v1::SealRequest,
            v1::SaveSnapshotRequest,
            v1::ResumeExpirationRequest,
            $crate::api::http::Refused,
        }
    };
}

pub(crate) use calls;
