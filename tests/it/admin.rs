//! What operators see.

use serde_json::{Value, json};
use tonic::Code;

use crate::{
    caller::{POOL, each, group, number, say},
    sandbox::Sandbox,
    store,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sees_rooms_logs_positions_and_actors() {
    let sandbox = Sandbox::start().await;
    let (ana, ben, admin) = (sandbox.user(1), sandbox.user(2), sandbox.admin());
    let id = group(&ana, &[2]).await;
    let other = group(&ana, &[3]).await;
    let _stream = ben.listen("phone", &[]).await;
    for n in 0..5 {
        say(&ana, &id, &n.to_string()).await;
    }
    ben.ok("MarkMessagesAsRead", json!({"room_id": id, "up_to_seq": 4})).await;

    let status = admin.ok("GetStatus", json!({})).await;
    assert_eq!((&status["store"], &status["draining"]), (&json!(store::name()), &json!(false)));
    assert_eq!((number(&status, "/rooms_awake"), number(&status, "/streams")), (2, 1));
    assert_ne!(status["version"], "");
    let mut rooms = vec![id.clone(), other.clone()];
    rooms.sort();
    let page = admin.ok("ListRooms", json!({"limit": 1})).await;
    assert_eq!((each(&page, "/rooms", "id"), &page["has_more"]), (vec![json!(rooms[0])], &json!(true)));
    let page = admin.ok("ListRooms", json!({"after_room_id": rooms[0]})).await;
    assert_eq!((each(&page, "/rooms", "id"), &page["has_more"]), (vec![json!(rooms[1])], &json!(false)));

    let log = admin.ok("ReadLog", json!({"room_id": id, "after_seq": 1, "limit": 3})).await;
    let contents: Vec<&Value> =
        log["entries"].as_array().unwrap().iter().map(|entry| &entry["event"]["message"]["content"]).collect();
    assert_eq!((contents, &log["has_more"]), (vec![&json!("0"), &json!("1"), &json!("2")], &json!(true)));
    assert_eq!(each(&log, "/entries", "n"), [1, 2, 3]);
    let positions = admin.ok("ReadPositions", json!({"room_id": id})).await;
    assert_eq!(each(&positions, "/positions", "user_id"), [1, 2]);
    assert_eq!(each(&positions, "/positions", "read_n"), [0, 3]);
    assert_eq!(each(&positions, "/positions", "unread_count"), [0, 2]);

    let actors = admin.ok("ListRoomActors", json!({})).await;
    assert_eq!(each(&actors, "/rooms", "room_id"), rooms);
    let one = admin.ok("ObserveRoom", json!({"room_id": id})).await;
    assert_eq!(
        (number(&one, "/room/last_seq"), number(&one, "/room/last_n"), number(&one, "/room/members")),
        (6, 5, 2)
    );
    assert_eq!(number(&one, "/room/listeners"), 1);
    let user = admin.ok("ObserveUser", json!({"user_id": 2})).await;
    assert_eq!((&user["awake"], &user["streams"][0]["client_id"]), (&json!(true), &json!("phone")));

    assert_eq!(admin.ok("PassivateRoom", json!({"room_id": other})).await["passivated"], true);
    assert_eq!(admin.ok("ObserveRoom", json!({"room_id": other})).await["room"], Value::Null);
    assert_eq!(admin.ok("PassivateRoom", json!({"room_id": other})).await["passivated"], false);
    let message = say(&ana, &other, "despierta").await;
    assert_eq!(number(&message, "/seq"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_see_nothing_of_it() {
    let sandbox = Sandbox::start().await;
    let ana = sandbox.user(1);
    let service = POOL.get_service_by_name("admin.v1.AdminService").unwrap();
    for method in service.methods() {
        ana.refused(method.name(), json!({})).await.is(Code::PermissionDenied, "admin_only", "");
    }
}
