#[tokio::test]
async fn get() {
    // cancel_at_every_poll("undocumented", make, check)
    cancel_at_every_poll("Queue::get", make, check).await;
    assert!(wrap!(shibuya_testkit::Harness::new("inside").run(make, check)));
    other("hidden_in_the_return_type");
    Other::new("boxed");
    cancel_at_every_poll(name, "boxed");
}
