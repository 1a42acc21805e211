"""What a person is told who asks how the box is: facts and verdicts in words, a listen test, a support file."""
