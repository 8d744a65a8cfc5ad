//! `grpc.health.v1`: what readiness says, for balancers and clients that speak gRPC. The server as a whole and each of its
//! services stand alike: they need the same.

use std::{pin::Pin, time::Duration};

use futures_util::stream;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_server::Health as Service,
};

use super::health::Health;

/// How often a watcher's server is looked at. That the server goes down is told at once.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The service.
#[derive(Clone, Debug)]
pub(super) struct GrpcHealth {
    pub(super) health: Health,
    /// Names of the services that are served.
    pub(super) services: Vec<String>,
}

impl GrpcHealth {
    fn serves(&self, service: &str) -> bool {
        service.is_empty() || self.services.iter().any(|served| served == service)
    }

    async fn look(&self, service: &str) -> ServingStatus {
        if !self.serves(service) {
            ServingStatus::ServiceUnknown
        } else if self.health.report().await.ready {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        }
    }

    /// The next status that differs.
    async fn change(&self, service: &str, told: Option<ServingStatus>) -> ServingStatus {
        loop {
            let status = self.look(service).await;
            if told != Some(status) {
                return status;
            }
            if self.health.draining.is_cancelled() {
                tokio::time::sleep(LOOK_EVERY).await;
            } else {
                let _ = tokio::time::timeout(LOOK_EVERY, self.health.draining.cancelled()).await;
            }
        }
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Service for GrpcHealth {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        match self.look(&request.get_ref().service).await {
            ServingStatus::ServiceUnknown => Err(Status::not_found("no such service")),
            status => Ok(Response::new(response(status))),
        }
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let (health, service) = (self.clone(), request.into_inner().service);
        let statuses = stream::unfold((health, service, None), |(health, service, told)| async move {
            let status = health.change(&service, told).await;
            Some((Ok(response(status)), (health, service, Some(status))))
        });
        Ok(Response::new(Box::pin(statuses)))
    }
}
