// Package notification delivers what alerts have to tell, and e-mails that no configuration decides
// on. Who has something to tell writes a record (alert.Notice, Mail) in the transaction that has the
// effect; a stream of the table then says that it is there.
package notification
