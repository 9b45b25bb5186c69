pub struct Builder;

impl IntoFuture for Builder {
    type Output = ();
}

impl Builder {
    pub fn new() -> Self {
        Builder
    }
}
