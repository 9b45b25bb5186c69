pub async fn helper() {}
