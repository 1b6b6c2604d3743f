# core/auth: see the essays at the head of its headers.
