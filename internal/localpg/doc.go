// Package localpg runs a private PostgreSQL for development and tests.
//
// Start finds the server's programs, makes a data directory if there is none, and
// starts a server that only this user can log in to and that ends when this
// process ends.
//
// # Where the programs come from
//
// The first of these that works:
//
//  1. an installed PostgreSQL 13 or newer: the newest in the usual directories,
//     else the one on PATH;
//  2. the system's package manager (apt-get, dnf, apk), as root or by a sudo that
//     asks for no password;
//  3. on Debian and Ubuntu without those rights, the same packages unpacked into
//     the user's cache directory;
//  4. the download of github.com/fergusstrange/embedded-postgres, into that
//     directory, too (/var/lib/runnel for root);
//  5. an error that ends with the one command to type.
//
// Steps 2 to 4 are told to the log before they run, commands in full. No service
// is left running. Data is opened with the major version that made it, never
// upgraded.
//
// # Where things are
//
// Options.Dir becomes a small home of its own:
//
//	data/        the data directory; owned by the account that runs postgres
//	password     the superuser's password, 0600
//	pg_hba.conf  the only way in: a password (scram) over 127.0.0.1
//	port         the port of the last start, tried first at the next one
//	lock         held (flock) by the process that runs the server; its pid inside
//	log          the server's messages since the last start
//
// Postgres refuses to run as root. Started by root, it runs as the account
// "postgres", or "nobody" where there is none. When that account cannot enter
// Dir (below /root, say), the home is made in /var/lib/runnel under a name made
// from Dir's absolute path, and the file Dir/location says where. Removing Dir
// then does not remove the data; the file says so too.
//
// # Life and death
//
// On Linux the kernel sends postgres SIGQUIT when this process dies, however it
// dies. Elsewhere (macOS) there is no such signal: after a SIGKILL the server
// stays up until the next Start on the same Dir, which stops it first. Committed
// data survives either way, unless Options.Fast gave it up.
package localpg
