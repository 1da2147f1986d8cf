// Package seal keeps tenants' secrets out of the table: envelope encryption under the
// operator's key, with a context that binds each secret to whose it is and what it is for.
//
// Its invariant: a sealed value opens only under the scope and field that it was sealed with.
package seal
