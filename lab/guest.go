package lab

// guestArgs make a program the guest's side of a lab.
var guestArgs = [...]string{"lab", "guest"}

// IsGuest tells whether a program's arguments (os.Args) ask it to run the
// guest's side.
func IsGuest(args []string) bool {
	return len(args) == 1+len(guestArgs) && [len(guestArgs)]string(args[1:]) == guestArgs
}
