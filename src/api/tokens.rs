//! `tokens.v1.TokensService`: the caller's devices.

use tertulia_proto::tokens::v1::{
    DeviceToken, GetTokensRequest, GetTokensResponse, Platform, RegisterTokenRequest, RegisterTokenResponse,
    RemoveTokenRequest, RemoveTokenResponse, tokens_service_server::TokensService,
};
use tonic::{Request, Response, Status};

use super::{caller::Door, convert, status::ApiError};
use crate::{
    actors::ops::Device,
    domain::reject::{Flaw, Reject},
};

/// The service.
#[derive(Clone, Debug)]
pub(super) struct Tokens {
    pub(super) door: Door,
}

#[tonic::async_trait]
impl TokensService for Tokens {
    async fn register_token(
        &self,
        request: Request<RegisterTokenRequest>,
    ) -> Result<Response<RegisterTokenResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let caller = self.door.caller(&extensions)?;
        let token = request.token.ok_or_else(|| ApiError::from(Reject::invalid("token", Flaw::Missing)))?;
        let platform = match Platform::try_from(token.platform) {
            Ok(Platform::Unspecified) => Err(Reject::invalid("token.platform", Flaw::Missing)),
            Ok(platform) => Ok(platform as u8),
            Err(_) => Err(Reject::invalid("token.platform", Flaw::OutOfRange)),
        };
        let device = Device {
            client_id: token.client_id,
            token: token.token,
            platform: platform.map_err(ApiError::from)?,
            registered_at_ms: 0,
        };
        self.door.node.register_device(caller.author, device).await.map_err(ApiError::from)?;
        Ok(Response::new(RegisterTokenResponse {}))
    }

    async fn remove_token(
        &self,
        request: Request<RemoveTokenRequest>,
    ) -> Result<Response<RemoveTokenResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let caller = self.door.caller(&extensions)?;
        self.door.node.remove_device(caller.author, &request.client_id).await.map_err(ApiError::from)?;
        Ok(Response::new(RemoveTokenResponse {}))
    }

    async fn get_tokens(&self, request: Request<GetTokensRequest>) -> Result<Response<GetTokensResponse>, Status> {
        let caller = self.door.caller(request.extensions())?;
        let devices = self.door.node.devices(caller.author).await.map_err(ApiError::from)?;
        let tokens = devices.into_iter().map(|device| DeviceToken {
            token: device.token,
            platform: i32::from(device.platform),
            client_id: device.client_id,
            registered_at: convert::time(device.registered_at_ms),
        });
        Ok(Response::new(GetTokensResponse { tokens: tokens.collect() }))
    }
}
