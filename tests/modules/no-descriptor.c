/* no-descriptor: some shared object, not one of ours. */
int some_function(void);

int some_function(void)
{
	return 1;
}
