pub struct Get<'a> {
    queue: &'a super::Queue,
}

impl Future for Get<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

struct Hidden;

impl Future for Hidden {
    type Output = ();
}

pin_project_lite::pin_project! {
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub struct Pinned<F> {
        #[pin]
        inner: F,
    }

    impl<F> PinnedDrop for Pinned<F> {
        fn drop(this: Pin<&mut Self>) {}
    }
}

impl<F: Future> Future for Pinned<F> {
    type Output = ();
}

pin_project_lite::pin_project! {
    struct PrivatelyPinned {}
}

impl Future for PrivatelyPinned {
    type Output = ();
}

declare!(Generated);

impl Stream for Generated {
    type Item = ();
}

impl<F> IntoFuture for F {
    type Output = ();
}
