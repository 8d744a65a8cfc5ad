//! Devices.

use serde_json::{Value, json};
use tonic::Code;

use crate::{caller::each, sandbox::Sandbox};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_come_move_and_go() {
    let sandbox = Sandbox::start().await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let device = |token: &str, platform: &str, client: &str| json!({"token": {"token": token, "platform": platform, "client_id": client}});
    ana.ok("RegisterToken", device("t1", "IOS", "phone")).await;
    ana.ok("RegisterToken", device("t2", "WEB", "laptop")).await;
    ana.ok("RegisterToken", device("t3", "ANDROID", "phone")).await;
    let all = ana.ok("GetTokens", json!({})).await;
    assert_eq!(each(&all, "/tokens", "client_id"), ["laptop", "phone"]);
    assert_eq!(each(&all, "/tokens", "token"), ["t2", "t3"]);
    assert_eq!(each(&all, "/tokens", "platform"), ["WEB", "ANDROID"]);
    assert_ne!(all["tokens"][0]["registered_at"], Value::Null);
    ben.ok("RegisterToken", device("t2", "WEB", "kiosk")).await;
    assert_eq!(each(&ana.ok("GetTokens", json!({})).await, "/tokens", "token"), ["t3"], "taken over");
    ana.ok("RemoveToken", json!({"client_id": "phone"})).await;
    ana.ok("RemoveToken", json!({"client_id": "phone"})).await;
    assert_eq!(ana.ok("GetTokens", json!({})).await["tokens"], json!([]));

    for n in 0..31 {
        ben.ok("RegisterToken", device(&format!("b{n}"), "IOS", &format!("c{n}"))).await;
    }
    let full = ben.refused("RegisterToken", device("x", "IOS", "one-more")).await;
    assert_eq!(full.code, Code::InvalidArgument, "{full:?}");
    ben.ok("RegisterToken", device("renewed", "IOS", "c7")).await;
}
