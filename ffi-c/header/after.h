
#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* LONGWIRE_H */
