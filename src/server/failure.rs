//! What the store says, as codes of the protocol: the one place where the two meet.

use crate::access::Denied;
use crate::protocol::{ErrorCode, Failure, WireError};
use crate::store::StoreError;

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::NotFound(_) | StoreError::NotKept { .. } => ErrorCode::NotFound,
            StoreError::Ambiguous { .. } => ErrorCode::AmbiguousId,
            StoreError::AlreadyExists { .. } | StoreError::Twin { .. } => ErrorCode::AlreadyExists,
            StoreError::Conflict { .. }
            | StoreError::PreconditionFailed { .. }
            | StoreError::ChangedMeanwhile { .. } => ErrorCode::Conflict,
            StoreError::InvalidName { .. } => ErrorCode::InvalidName,
            StoreError::IsFolder { .. } | StoreError::BadPattern(_) => ErrorCode::Usage,
            StoreError::TooLarge { .. } => ErrorCode::TooLarge,
            StoreError::QuotaExceeded { .. } => ErrorCode::QuotaExceeded,
            StoreError::DiskFull { .. } => ErrorCode::DiskFull,
            StoreError::SizeMismatch { .. } => ErrorCode::Protocol,
            StoreError::TooManyOpenFiles { .. } | StoreError::Closed => ErrorCode::Busy,
            StoreError::ReadOnly { .. }
            | StoreError::Io { .. }
            | StoreError::Root(_)
            | StoreError::Index(_) => ErrorCode::Io,
        };
        if code == ErrorCode::Io {
            tracing::error!(%error, "the store failed");
        }
        Failure::new(code, error.to_string())
    }
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        Failure::new(ErrorCode::Forbidden, denied.to_string())
    }
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        let code = match error {
            WireError::Name(_) => ErrorCode::InvalidName,
            WireError::Field(_) => ErrorCode::Protocol,
        };
        Failure::new(code, error.to_string())
    }
}
