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
