"""Who may do what: the keys of a server, what their texts look like, and the certificate it shows."""
